import { address as checkAddress, count, descriptor, integer } from './integers.js';
import { bind, viewOf } from './libc.js';

const mmap = bind('mmap', 'int64 mmap(uint64, uint64, int, int, int, int64)');
const munmap = bind('munmap', 'int munmap(uint64, uint64)');

/** <bits/mman.h>; the same on every 64-bit machine. */
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;

export const pageSize = 4096;

/** Views start every so many bytes, and are twice as long: any range of `viewStride` is in one of them. */
const viewStride = 2 ** 29;
const viewLength = 2 * viewStride;

/** Gives address space back when the last view of it is gone. */
const reserved = new FinalizationRegistry<{ address: number; length: number }>((range) => {
  munmap(range.address, range.length);
});

/**
 * Memory mapped into this process, and views of it that are safe to keep: after `close` they show
 * zeros, for the place is then taken by empty pages and given back only when no view is left.
 * So a view never outlives its mapping, whatever its holder does. What is not guarded against:
 * someone truncating the mapped file under us, which is a SIGBUS on the next touch.
 */
export class Mapping {
  readonly address: number;
  readonly length: number;
  readonly #views: (DataView | undefined)[] = [];
  readonly #lifetime = {};
  #closed = false;

  private constructor(address: number, length: number) {
    this.address = address;
    this.length = length;
    reserved.register(this.#lifetime, { address, length });
  }

  /** Zeroed memory of this process alone; pages cost nothing until they are touched. */
  static anonymous(length: number): Mapping {
    integer('length', length, 1, 2 ** 46);
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    return new Mapping(mmap(0, length, PROT_READ | PROT_WRITE, flags, -1, 0), length);
  }

  /** `length` bytes of the file `fd` from `offset` (a multiple of the page size), shared with whoever has it. */
  static ofFile(
    fd: number,
    options: { offset: number; length: number; writable: boolean },
  ): Mapping {
    descriptor(fd);
    integer('length', options.length, 1, 2 ** 46);
    count('offset', options.offset);
    const protection = PROT_READ | (options.writable ? PROT_WRITE : 0);
    const at = mmap(0, options.length, protection, MAP_SHARED | MAP_NORESERVE, fd, options.offset);
    return new Mapping(at, options.length);
  }

  /**
   * The view that holds the byte at `offset` and at least `viewStride` (512 MiB) after it, or all to
   * the end; `offset % viewStride` is where it is in there.
   */
  viewAt(offset: number): DataView {
    const index = Math.floor(offset / viewStride);
    return this.#views[index] ?? this.#makeView(index);
  }

  /** A view of exactly these bytes; at most 1 GiB. */
  bytes(offset: number, length: number): Uint8Array {
    integer('length', length, 1, Math.min(viewLength, this.length));
    integer('offset', offset, 0, this.length - length);
    const view = this.viewAt(offset);
    const start = offsetInView(offset);
    if (start + length > view.byteLength) throw new RangeError('range longer than a view');
    return new Uint8Array(view.buffer, start, length);
  }

  /** Take the memory away. Views already handed out show zeros from now on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#views.length = 0;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    mmap(this.address, this.length, PROT_READ | PROT_WRITE, flags, -1, 0);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #makeView(index: number): DataView {
    if (this.#closed) throw new RangeError('mapping is closed');
    const start = integer('offset', index * viewStride, 0, this.length - 1);
    const at = checkAddress(this.address + start);
    const view = new DataView(viewOf(at, Math.min(viewLength, this.length - start)));
    keepAlive.set(view.buffer, this.#lifetime);
    this.#views[index] = view;
    return view;
  }
}

/** While a view's buffer lives, so does the entry that keeps its address range reserved. */
const keepAlive = new WeakMap<ArrayBufferLike, object>();

/** Where `offset` is inside `viewAt(offset)`. */
export function offsetInView(offset: number): number {
  // Not by %, which is slow for what is no small integer.
  return offset - Math.floor(offset / viewStride) * viewStride;
}
