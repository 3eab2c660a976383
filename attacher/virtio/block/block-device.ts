import { constants } from 'node:os';
import type { Disk } from '../disk/disk.js';
import { mostRequests, type IoEngine } from '../disk/io-engine.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import { DescriptorChain } from '../queue/descriptor-chain.js';
import type { SplitQueue } from '../queue/split-queue.js';
import { Feature, featureBits, hasFeature, idLength, RequestType, Status } from './protocol.js';
import { parseRequest } from './parse-request.js';
import { BlockRequest, Transfer } from './request.js';
import { Count, type Statistics } from './statistics.js';

const ring = [Feature.indirectDescriptors, Feature.eventIndex, Feature.version1];
const common = [Feature.segMax, Feature.blockSize, Feature.flush, Feature.multiQueue];
const { EINTR, EAGAIN, EOPNOTSUPP } = constants.errno;

export interface BlockDeviceOptions {
  disk: Disk;
  engine: IoEngine;
  memory: GuestMemory;
  statistics: Statistics;
  /** What GET_ID answers, of which 20 bytes count. */
  id: string;
}

/** Requests from queues to a disk and back (VIRTIO 1.2, 5.2.6), apart from how a driver reaches us. */
export class BlockDevice {
  /** What can be agreed upon with a driver. */
  readonly offered: bigint;
  #features = 0n;
  /** The driver knows of no flush, and takes what is answered for safe (5.2.6.2). */
  #durable = true;
  readonly #disk: Disk;
  readonly #engine: IoEngine;
  readonly #memory: GuestMemory;
  readonly #statistics: Statistics;
  readonly #id: Uint8Array;
  readonly #chain = new DescriptorChain();
  readonly #requests: BlockRequest[] = [];
  readonly #idle: BlockRequest[] = [];
  readonly #heads = new Uint16Array(mostRequests);
  readonly #onCompleted = (tag: number, result: number) => {
    this.#completed(tag, result);
  };
  /** Transfers were started that the kernel does not know of yet. */
  #started = false;
  readonly #queues = new Array<SplitQueue | undefined>(mostRequests);

  constructor(options: BlockDeviceOptions) {
    this.#disk = options.disk;
    this.#engine = options.engine;
    this.#memory = options.memory;
    this.#statistics = options.statistics;
    this.#id = new Uint8Array(idLength);
    new TextEncoder().encodeInto(options.id, this.#id);
    const kind = options.disk.readOnly
      ? [Feature.readOnly]
      : [Feature.discard, Feature.writeZeroes];
    this.offered = featureBits(...ring, ...common, ...kind);
    for (let tag = mostRequests - 1; tag >= 0; tag--) {
      const request = new BlockRequest(tag);
      this.#requests[tag] = request;
      this.#idle.push(request);
    }
  }

  /** What was agreed upon. */
  get features(): bigint {
    return this.#features;
  }

  set features(agreed: bigint) {
    this.#features = agreed;
    this.#durable = !hasFeature(agreed, Feature.flush);
  }

  /**
   * Take what is available in `queue`, until it is `limit` requests or `bytes` of data, and begin
   * it. Says whether the queue is empty, or a limit was met, or as much is under way as may be.
   * Throws QueueViolation.
   */
  accept(queue: SplitQueue, limit: number, bytes = Infinity): 'empty' | 'limit' | 'full' {
    const chain = this.#chain;
    let left = bytes;
    for (let n = 0; n < limit && left > 0; n++) {
      const request = this.#idle.at(-1);
      if (request === undefined) return 'full';
      if (!queue.take(chain, this.#memory)) return 'empty';
      const status = parseRequest(chain, request, this.#memory, this.#disk.sectors);
      left -= request.length;
      this.#idle.pop();
      this.#heads[request.tag] = chain.head;
      this.#queues[request.tag] = queue;
      this.#begin(request, status);
    }
    return 'limit';
  }

  /**
   * Hand all that was begun to the kernel, and finish what is done. `collect`: the engine’s
   * descriptor told that something is; `wait`: return only when something is.
   */
  progress(how: { collect?: boolean; wait?: boolean } = {}): void {
    let { collect = false, wait = false } = how;
    while (this.#started || collect || wait) {
      this.#started = false;
      this.#engine.submit(wait);
      this.#engine.complete(this.#onCompleted);
      collect = wait = false;
    }
  }

  /** Whether requests of any queue are under way. */
  get busy(): boolean {
    return this.#idle.length < mostRequests;
  }

  /** Wait until nothing is under way. */
  drain(): void {
    while (this.busy) this.progress({ wait: true });
  }

  #begin(request: BlockRequest, status: Status | undefined): void {
    if (status !== undefined) {
      this.#finish(request, status);
      return;
    }
    switch (request.type) {
      case RequestType.getId: {
        this.#finish(request, this.#answerId(request));
        return;
      }
      case RequestType.out:
      case RequestType.discard:
      case RequestType.writeZeroes:
        if (this.#disk.readOnly) {
          this.#finish(request, Status.ioError);
          return;
        }
        break;
      default:
    }
    request.durable = this.#durable;
    this.#advance(request);
  }

  #advance(request: BlockRequest): void {
    if (this.#disk.next(request)) this.#start(request);
    else this.#finish(request, Status.ok);
  }

  #start(request: BlockRequest): void {
    this.#started = true;
    this.#engine.start(request);
  }

  #completed(tag: number, result: number): void {
    const request = this.#requests[tag];
    if (request === undefined) return;
    if (result > 0) {
      this.#disk.transferred(request, result);
      request.done += result;
      this.#advance(request);
      return;
    }
    if (result === -EINTR || result === -EAGAIN) {
      this.#start(request);
      return;
    }
    if (result === -EOPNOTSUPP && request.transfer === Transfer.zero) {
      request.unmap = true;
      this.#advance(request);
      return;
    }
    if (result === -EOPNOTSUPP && request.transfer === Transfer.punch) {
      // A discard is only a hint; zeros the driver can write by itself.
      const hint = request.type === RequestType.discard;
      this.#finish(request, hint ? Status.ok : Status.unsupported);
      return;
    }
    this.#finish(request, Status.ioError); // an error, or the end of a file that has become short
  }

  #finish(request: BlockRequest, status: Status): void {
    const { tag } = request;
    const reads = request.type === RequestType.in || request.type === RequestType.getId;
    const queue = this.#queues[tag];
    this.#queues[tag] = undefined;
    this.#idle.push(request);
    this.#count(request, status);
    if (this.#memory.openToWrite(request.statusAddress, 1)) {
      this.#memory.view.setUint8(this.#memory.at, status);
    }
    // Never more than was written from the first byte on (2.7.8.2): after a failure, who knows.
    const data = reads ? request.length : 0;
    queue?.giveBack(this.#heads[tag] ?? 0, status === Status.ok ? data + 1 : data > 0 ? 0 : 1);
  }

  #answerId(request: BlockRequest): Status {
    let filled = 0;
    for (let n = 0; n < request.segments && filled < idLength; n++) {
      const piece = Math.min(request.lengths[n] ?? 0, idLength - filled);
      if (!this.#memory.openToWrite(request.guestAddresses[n] ?? 0, piece)) {
        return Status.ioError;
      }
      const { view, at } = this.#memory;
      new Uint8Array(view.buffer, at, piece).set(this.#id.subarray(filled, filled + piece));
      filled += piece;
    }
    request.length = filled;
    return Status.ok;
  }

  #count(request: BlockRequest, status: Status): void {
    const statistics = this.#statistics;
    if (status !== Status.ok) {
      statistics.add(Count.failures, 1);
      return;
    }
    switch (request.type) {
      case RequestType.in:
        statistics.add(Count.reads, 1);
        statistics.add(Count.readBytes, request.length);
        return;
      case RequestType.out:
        statistics.add(Count.writes, 1);
        statistics.add(Count.writtenBytes, request.length);
        return;
      case RequestType.flush:
        statistics.add(Count.flushes, 1);
        return;
      case RequestType.discard:
      case RequestType.writeZeroes:
        statistics.add(Count.discards, 1);
        return;
      default:
    }
  }
}
