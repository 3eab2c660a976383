import { Mapping } from '../../native/linux/mapping.js';
import { createMemoryFile } from '../../native/linux/memory-file.js';

export interface Descriptor {
  address: number;
  length: number;
  write?: boolean;
}

/** Guest memory of a test: a file in memory, at `base` for the guest and `userBase` for the client. */
export class TestMemory {
  readonly fd: number;
  readonly mapping: Mapping;
  #next: number;

  constructor(
    readonly size: number,
    readonly base = 0x4000_0000,
    readonly userBase = 0x7f00_0000_0000,
  ) {
    this.fd = createMemoryFile('guest', size);
    this.mapping = Mapping.ofFile(this.fd, { offset: 0, length: size, writable: true });
    this.#next = base;
  }

  /** Room for `length` bytes, aligned; its guest-physical address. */
  allocate(length: number, alignment = 16): number {
    const address = Math.ceil(this.#next / alignment) * alignment;
    this.#next = address + length;
    if (this.#next > this.base + this.size) throw new RangeError('test memory is used up');
    return address;
  }

  bytes(address: number, length: number): Uint8Array {
    return this.mapping.bytes(address - this.base, length);
  }

  view(address: number, length: number): DataView {
    const bytes = this.bytes(address, length);
    return new DataView(bytes.buffer, bytes.byteOffset, length);
  }
}

/** The driver’s side of a split queue, for tests: careful where asked, and hostile where told. */
export class TestQueue {
  readonly table: number;
  readonly available: number;
  readonly used: number;
  next = 0;
  seen = 0;
  #free = 0;

  constructor(
    readonly memory: TestMemory,
    readonly size: number,
    /** The legacy layout: parts in a row, from a page on, the used ring aligned to this. */
    legacyAlign?: number,
  ) {
    this.table = memory.allocate(16 * size, legacyAlign ?? 16);
    this.available = memory.allocate(6 + 2 * size, 2);
    this.used = memory.allocate(6 + 8 * size, legacyAlign ?? 4);
  }

  describe(
    index: number,
    buffer: Descriptor,
    flags: number,
    next: number,
    table = this.table,
  ): void {
    const entry = this.memory.view(table + index * 16, 16);
    entry.setBigUint64(0, BigInt(buffer.address), true);
    entry.setUint32(8, buffer.length, true);
    entry.setUint16(12, flags | (buffer.write === true ? 2 : 0), true);
    entry.setUint16(14, next, true);
  }

  /** Write a chain of direct descriptors; its head. */
  chain(buffers: Descriptor[]): number {
    const head = this.#free;
    buffers.forEach((buffer, n) => {
      const index = (head + n) % this.size;
      const last = n === buffers.length - 1;
      this.describe(index, buffer, last ? 0 : 1, (index + 1) % this.size);
    });
    this.#free = (head + buffers.length) % this.size;
    return head;
  }

  /** Write a chain in an indirect table; its head. */
  indirect(buffers: Descriptor[]): number {
    const table = this.memory.allocate(16 * buffers.length, 16);
    buffers.forEach((buffer, n) => {
      this.describe(n, buffer, n === buffers.length - 1 ? 0 : 1, n + 1, table);
    });
    const head = this.#free;
    this.describe(head, { address: table, length: 16 * buffers.length }, 4, 0);
    this.#free = (head + 1) % this.size;
    return head;
  }

  /** Make a chain available. */
  offer(head: number): void {
    const ring = this.memory.view(this.available, 6 + 2 * this.size);
    ring.setUint16(4 + (this.next % this.size) * 2, head, true);
    this.next = (this.next + 1) & 0xffff;
    ring.setUint16(2, this.next, true);
  }

  setAvailableIndex(index: number): void {
    this.memory.view(this.available, 4).setUint16(2, index, true);
  }

  setUsedEvent(index: number): void {
    this.memory.view(this.available + 4 + 2 * this.size, 2).setUint16(0, index, true);
  }

  availableEvent(): number {
    return this.memory.view(this.used + 4 + 8 * this.size, 2).getUint16(0, true);
  }

  usedIndex(): number {
    return this.memory.view(this.used, 4).getUint16(2, true);
  }

  /** What was given back since last asked. */
  takeUsed(): { head: number; length: number }[] {
    const ring = this.memory.view(this.used, 6 + 8 * this.size);
    const found: { head: number; length: number }[] = [];
    for (const end = this.usedIndex(); this.seen !== end; this.seen = (this.seen + 1) & 0xffff) {
      const at = 4 + (this.seen % this.size) * 8;
      found.push({ head: ring.getUint32(at, true), length: ring.getUint32(at + 4, true) });
    }
    return found;
  }
}
