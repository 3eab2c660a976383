import type { ArenaMemory } from '../guest/arena-memory.js';
import {
  markBytes,
  ringBytes,
  ringOffset as field,
  RingReader,
  RingWriter,
} from '../guest/byte-ring.js';
import type { SessionPages } from '../guest/session-pages.js';

/** The stream to and from stage 2, by a pair of rings in the guest's memory. */
export class GuestChannel {
  readonly #writer: RingWriter;
  readonly #reader: RingReader;
  readonly #to: number;
  readonly #from: number;
  readonly #size: number;

  /** `start`: of the session's pages in the arena; `mark`: of the session, `markBytes` random ones. */
  constructor(
    readonly memory: ArenaMemory,
    start: number,
    pages: SessionPages,
    mark: Uint8Array,
  ) {
    this.#to = start + pages.toGuest;
    this.#from = start + pages.fromGuest;
    this.#size = pages.ringSize;
    const ring = (at: number) => memory.bytes.subarray(at, at + ringBytes(this.#size));
    this.#writer = new RingWriter(ring(this.#to), mark);
    this.#reader = new RingReader(ring(this.#from), mark);
  }

  /** Empty and open; before the session starts. */
  reset(): void {
    this.#writer.reset();
    this.#reader.reset();
    for (const at of [this.#to, this.#from]) this.memory.push(at, field.data);
  }

  /** Writes as much of `bytes` as there is room for; the number of bytes written. */
  write(bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    this.memory.pull(this.#to + field.mark, markBytes);
    this.memory.pull(this.#to + field.tail, 4);
    const head = this.#writer.head;
    const count = this.#writer.write(bytes);
    if (count === 0) return 0;
    const at = head & (this.#size - 1);
    const first = Math.min(count, this.#size - at);
    this.memory.push(this.#to + field.data + at, first);
    if (count > first) this.memory.push(this.#to + field.data, count - first);
    this.memory.push(this.#to + field.head, 4);
    return count;
  }

  /** No more will be written: stage 2 hangs up when it has read all. */
  hangUp(): void {
    this.memory.pull(this.#to + field.mark, markBytes);
    if (this.#writer.close()) this.memory.push(this.#to + field.closed, 4);
  }

  /** What has come, a copy; empty when there is nothing. */
  read(): Uint8Array {
    // In this order: once it is closed the head is final, and what is before the head is there.
    this.memory.pull(this.#from + field.closed, 4);
    this.memory.pull(this.#from + field.head, 4);
    if (this.#reader.waiting === 0) return new Uint8Array();
    this.memory.pull(this.#from + field.mark, markBytes);
    this.memory.pull(this.#from + field.data, this.#size);
    const bytes = this.#reader.read();
    this.memory.push(this.#from + field.tail, 4);
    return bytes;
  }

  /** Whether the memory is still the session's: not once another kernel has used it. */
  get isOurs(): boolean {
    this.memory.pull(this.#from + field.mark, markBytes);
    return this.#reader.isOurs;
  }

  /** Whether stage 2 has written its last, and all of it was read. */
  get ended(): boolean {
    return this.#reader.ended;
  }
}
