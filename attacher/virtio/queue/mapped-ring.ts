import type { GuestMemory } from '../memory/guest-memory.js';
import {
  availableLength,
  descriptorSize,
  usedLength,
  type Ring,
  type RingAddresses,
} from './ring.js';
import { QueueViolation } from './violation.js';

const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
const VIRTQ_USED_F_NO_NOTIFY = 1;

interface Part {
  view: DataView;
  at: number;
  /** The same memory in 16-bit words, for loads and stores that are ordered. */
  words: Uint16Array;
  word: number;
}

/** A ring in memory that is mapped here. A new one is needed whenever the memory changes. */
export class MappedRing implements Ring {
  readonly tableView: DataView;
  readonly table: number;
  readonly #available: Part;
  readonly #used: Part;
  readonly #mask: number;

  /** Throws QueueViolation where the parts are outside memory or not aligned (VIRTIO 1.2, 2.7). */
  constructor(
    memory: GuestMemory,
    addresses: RingAddresses,
    readonly size: number,
  ) {
    this.#mask = size - 1;
    const table = openPart(memory, 'descriptor table', addresses.table, size * descriptorSize, 16);
    this.tableView = table.view;
    this.table = table.at;
    this.#available = openPart(
      memory,
      'available ring',
      addresses.available,
      availableLength(size),
      2,
    );
    this.#used = openPart(memory, 'used ring', addresses.used, usedLength(size), 4);
  }

  refresh(): void {
    // What is mapped is always up to date.
  }

  availableIndex(): number {
    const { words, word } = this.#available;
    return Atomics.load(words, word + 1);
  }

  availableHead(position: number): number {
    const { view, at } = this.#available;
    return view.getUint16(at + 4 + (position & this.#mask) * 2, true);
  }

  interruptsSuppressed(): boolean {
    const { words, word } = this.#available;
    return (Atomics.load(words, word) & VIRTQ_AVAIL_F_NO_INTERRUPT) !== 0;
  }

  usedEvent(): number {
    const { words, word } = this.#available;
    return Atomics.load(words, word + 2 + this.size);
  }

  setUsed(position: number, head: number, length: number): void {
    const { view, at } = this.#used;
    const entry = at + 4 + (position & this.#mask) * 8;
    view.setUint32(entry, head, true);
    view.setUint32(entry + 4, length, true);
  }

  publishUsed(index: number): void {
    const { words, word } = this.#used;
    Atomics.store(words, word + 1, index);
  }

  usedIndex(): number {
    const { words, word } = this.#used;
    return Atomics.load(words, word + 1);
  }

  suppressNotifications(suppress: boolean): void {
    const { words, word } = this.#used;
    Atomics.store(words, word, suppress ? VIRTQ_USED_F_NO_NOTIFY : 0);
  }

  setAvailableEvent(index: number): void {
    const { words, word } = this.#used;
    Atomics.store(words, word + 2 + 4 * this.size, index);
  }
}

function openPart(
  memory: GuestMemory,
  name: string,
  address: number,
  length: number,
  alignment: number,
): Part {
  if (address % alignment !== 0) throw new QueueViolation(`${name} not aligned to ${alignment}`);
  if (!memory.open(address, length)) throw new QueueViolation(`${name} outside guest memory`);
  const { view, at } = memory;
  return {
    view,
    at,
    words: new Uint16Array(view.buffer, 0, view.byteLength >>> 1),
    word: at >>> 1,
  };
}
