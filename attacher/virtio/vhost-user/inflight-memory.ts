import { fstatSync } from 'node:fs';
import { Mapping } from '../../../native/linux/mapping.js';
import { createMemoryFile } from '../../../native/linux/memory-file.js';
import { InflightLog, inflightLength } from '../queue/inflight-log.js';
import { ProtocolError } from './protocol.js';

/** The memory for the logs of all queues: ours to make, the client’s to keep and to give back. */
export class InflightMemory {
  private constructor(
    private readonly mapping: Mapping,
    private readonly queueSize: number,
    private readonly queues: number,
  ) {}

  /** New memory in a file, which the caller sends and closes. */
  static create(queues: number, queueSize: number): { fd: number; length: number } {
    const length = queues * inflightLength(queueSize);
    return { fd: createMemoryFile('vhost-inflight', length), length };
  }

  /** Memory that the client gives back, as created by us or by an earlier server. */
  static open(
    fd: number,
    place: { length: number; offset: number; queues: number; queueSize: number },
  ): InflightMemory {
    const { length, offset, queues, queueSize } = place;
    const { size } = fstatSync(fd);
    const needed = queues * inflightLength(queueSize);
    if (length < needed || offset % 4096 !== 0 || size < offset + length) {
      throw new ProtocolError(`in-flight memory of ${length} bytes at ${offset}, ${needed} needed`);
    }
    const mapping = Mapping.ofFile(fd, { offset, length: needed, writable: true });
    return new InflightMemory(mapping, queueSize, queues);
  }

  /** The log of queue `index` of `size` entries; undefined if there is none for it. */
  log(index: number, size: number): InflightLog | undefined {
    if (index >= this.queues || size > this.queueSize) return undefined;
    const base = index * inflightLength(this.queueSize);
    return new InflightLog(this.mapping.viewAt(0), base, size);
  }

  close(): void {
    this.mapping.close();
  }
}
