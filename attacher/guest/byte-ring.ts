import { DebloatError } from '../../analyzer/errors.js';

/**
 * A ring of bytes shared with the guest (native/guest/stage1/control.h, struct ring): one side only
 * writes, the other only reads. Indices run free modulo 2^32; the guest's are checked at every use,
 * and the size is the host's own and never read back.
 */

/** Offsets of struct ring. */
export const ringOffset = { head: 0, size: 4, mark: 8, tail: 64, closed: 68, data: 128 } as const;

/** Bytes of the mark by which the host knows a ring as its own. */
export const markBytes = 16;

/** Bytes that a ring of `size` data bytes takes. */
export function ringBytes(size: number): number {
  return ringOffset.data + size;
}

class Ring {
  protected readonly words: Int32Array;
  protected readonly data: Uint8Array;
  readonly #mark: Uint8Array;

  /** `mark`: random, and the same at each look at the same ring. */
  constructor(
    memory: Uint8Array,
    readonly mark: Uint8Array,
  ) {
    const size = memory.length - ringOffset.data;
    if (size < 64 || size > 2 ** 30 || (size & (size - 1)) !== 0) {
      throw new RangeError(`a ring's size must be a power of two, not ${size}`);
    }
    this.words = new Int32Array(memory.buffer, memory.byteOffset, ringOffset.data / 4);
    this.data = memory.subarray(ringOffset.data);
    this.#mark = memory.subarray(ringOffset.mark, ringOffset.mark + markBytes);
  }

  /** Makes the ring empty and open; only while the guest does not use it. */
  reset(): void {
    this.words.fill(0);
    Atomics.store(this.words, ringOffset.size / 4, this.data.length);
    this.#mark.set(this.mark);
  }

  /** Whether this is the ring that was reset. Of a guest that was started anew it may be anything. */
  get isOurs(): boolean {
    return this.mark.every((byte, at) => byte === this.#mark[at]);
  }

  protected load(offset: number): number {
    return Atomics.load(this.words, offset / 4) >>> 0;
  }

  protected store(offset: number, value: number): void {
    Atomics.store(this.words, offset / 4, value | 0);
  }

  /** Bytes in the ring; an error if the guest's index makes no sense. */
  protected filled(head: number, tail: number): number {
    const filled = (head - tail) >>> 0;
    if (filled > this.data.length) {
      throw nonsense();
    }
    return filled;
  }
}

function nonsense(): DebloatError {
  return new DebloatError('The guest wrote nonsense into the ring of its terminal.');
}

/** The host's end of the ring to the guest. */
export class RingWriter extends Ring {
  #head = 0;

  override reset(): void {
    super.reset();
    this.#head = 0;
  }

  /** Bytes ever written, modulo 2^32. */
  get head(): number {
    return this.#head;
  }

  /** Bytes that can be written now. */
  get room(): number {
    return this.data.length - this.filled(this.#head, this.load(ringOffset.tail));
  }

  /** Writes as much of `bytes` as there is room for; the number of bytes written. */
  write(bytes: Uint8Array): number {
    if (!this.isOurs) throw nonsense();
    const count = Math.min(bytes.length, this.room);
    const at = this.#head & (this.data.length - 1);
    const first = Math.min(count, this.data.length - at);
    this.data.set(bytes.subarray(0, first), at);
    this.data.set(bytes.subarray(first, count), 0);
    this.#head = (this.#head + count) >>> 0;
    this.store(ringOffset.head, this.#head);
    return count;
  }

  /** Tells the guest that no more comes; false if the ring is ours no more. */
  close(): boolean {
    if (!this.isOurs) return false;
    this.store(ringOffset.closed, 1);
    return true;
  }
}

/** The host's end of the ring from the guest. */
export class RingReader extends Ring {
  #tail = 0;

  override reset(): void {
    super.reset();
    this.#tail = 0;
  }

  /** Bytes that can be read now. */
  get waiting(): number {
    return this.filled(this.load(ringOffset.head), this.#tail);
  }

  /** A copy of what is there now, of at most `most` bytes; empty when there is nothing. */
  read(most = this.data.length): Uint8Array {
    const count = Math.min(most, this.filled(this.load(ringOffset.head), this.#tail));
    const bytes = new Uint8Array(count);
    if (count === 0) return bytes;
    if (!this.isOurs) throw nonsense();
    const at = this.#tail & (this.data.length - 1);
    const first = Math.min(count, this.data.length - at);
    bytes.set(this.data.subarray(at, at + first));
    bytes.set(this.data.subarray(0, count - first), first);
    this.#tail = (this.#tail + count) >>> 0;
    this.store(ringOffset.tail, this.#tail);
    return bytes;
  }

  /** Whether the guest has written its last and all of it was read. */
  get ended(): boolean {
    const closed = this.load(ringOffset.closed) !== 0;
    return closed && this.filled(this.load(ringOffset.head), this.#tail) === 0;
  }
}
