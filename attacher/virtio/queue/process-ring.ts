import { Mapping } from '../../../native/linux/mapping.js';
import type { ProcessMemory } from '../memory/process-memory.js';
import { VIRTQ_DESC_F_INDIRECT } from './descriptor-chain.js';
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
const headerLength = 16;
/** Looks at an index that is out of the question before it is believed. */
const looks = 4;

/**
 * A ring in memory of another process, kept here as copies. What the driver wrote is read all at
 * once, and what the new chains lead to with it; what we write goes with the requests' data, in one
 * call that ends with the used index. Nothing of the driver's is newer than the last `refresh`.
 */
export class ProcessRing implements Ring {
  readonly tableView: DataView;
  readonly table = 0;
  readonly #copy: Mapping;
  readonly #view: DataView;
  readonly #mask: number;
  /** Where the parts are in our copy. */
  readonly #at: { available: number; used: number; event: number; index: number };
  /** Addresses of the parts in the other process. */
  readonly #remote: RingAddresses;
  /** Used entries that the driver has not got: the first, and how many. */
  #first = 0;
  #entries = 0;
  #eventChanged = false;
  #flagsChanged = false;
  /** What was read after publishing serves a `refresh` at once as well. */
  #fresh = false;

  /** Throws QueueViolation where the parts are outside memory, not aligned, or cannot be read. */
  constructor(
    private readonly memory: ProcessMemory,
    addresses: RingAddresses,
    readonly size: number,
  ) {
    this.#mask = size - 1;
    const table = size * descriptorSize;
    this.#remote = {
      table: locate(memory, 'descriptor table', addresses.table, table, 16),
      available: locate(memory, 'available ring', addresses.available, availableLength(size), 2),
      used: locate(memory, 'used ring', addresses.used, usedLength(size), 4),
    };
    const available = table;
    const used = Math.ceil((available + availableLength(size)) / 8) * 8;
    const index = Math.ceil((used + usedLength(size)) / 8) * 8;
    this.#at = { available, used, event: used + 4 + 8 * size, index };
    this.#copy = Mapping.anonymous(index + 8);
    this.#view = this.tableView = this.#copy.viewAt(0);
    memory.reads.add(this.#copy.address + used, this.#remote.used, usedLength(size));
    this.#read();
  }

  refresh(next: number, since: 'ever' | 'settled'): void {
    const { memory } = this;
    if ((this.#eventChanged || this.#flagsChanged) && !this.#flush()) throw lost();
    if (!this.#fresh || since === 'ever') this.#read();
    this.#fresh = false;
    // Where it is not aligned it may be copied while it changes, half of it old: off by about 256.
    for (let n = 1; n < looks && this.#waiting(next) > this.size; n++) this.#read();
    const waiting = Math.min(this.#waiting(next), this.size);
    memory.forget();
    if (waiting > 0) this.#fetchAhead(next, waiting);
  }

  availableIndex(): number {
    return this.#view.getUint16(this.#at.index + 2, true);
  }

  availableHead(position: number): number {
    return this.#view.getUint16(this.#at.available + 4 + (position & this.#mask) * 2, true);
  }

  interruptsSuppressed(): boolean {
    this.#readAgain();
    return (this.#view.getUint16(this.#at.available, true) & VIRTQ_AVAIL_F_NO_INTERRUPT) !== 0;
  }

  usedEvent(): number {
    this.#readAgain();
    return this.#view.getUint16(this.#at.available + 4 + 2 * this.size, true);
  }

  setUsed(position: number, head: number, length: number): void {
    const at = this.#at.used + 4 + (position & this.#mask) * 8;
    this.#view.setUint32(at, head, true);
    this.#view.setUint32(at + 4, length, true);
    if (this.#entries === 0) this.#first = position & this.#mask;
    this.#entries = Math.min(this.#entries + 1, this.size);
  }

  publishUsed(index: number): void {
    const { writes } = this.memory;
    const base = this.#at.used + 4;
    const before = Math.min(this.#entries, this.size - this.#first);
    if (before > 0) this.#write(base + this.#first * 8, before * 8);
    if (before < this.#entries) this.#write(base, (this.#entries - before) * 8);
    this.#entries = 0;
    this.#view.setUint16(this.#at.used + 2, index, true);
    if (this.#eventChanged) this.#write(this.#at.event, 2);
    // Flags, index and the first entry's head: copied as one aligned word, so never seen in halves.
    writes.add(this.#copy.address + this.#at.used, this.#remote.used, 8);
    this.#eventChanged = this.#flagsChanged = false;
    if (!this.memory.flush()) throw lost();
  }

  usedIndex(): number {
    return this.#view.getUint16(this.#at.used + 2, true);
  }

  suppressNotifications(suppress: boolean): void {
    this.#view.setUint16(this.#at.used, suppress ? VIRTQ_USED_F_NO_NOTIFY : 0, true);
    this.#flagsChanged = true;
  }

  setAvailableEvent(index: number): void {
    this.#view.setUint16(this.#at.event, index, true);
    this.#eventChanged = true;
  }

  close(): void {
    this.#copy.close();
  }

  /** Write what changed apart from the used index. */
  #flush(): boolean {
    if (this.#eventChanged) this.#write(this.#at.event, 2);
    if (this.#flagsChanged) this.#write(this.#at.used, 2);
    this.#eventChanged = this.#flagsChanged = false;
    return this.memory.flush();
  }

  /** Have the driver see `length` bytes of our copy of the used ring. */
  #write(at: number, length: number): void {
    const remote = this.#remote.used + (at - this.#at.used);
    this.memory.writes.add(this.#copy.address + at, remote, length);
  }

  #waiting(next: number): number {
    return (this.availableIndex() - next) & 0xffff;
  }

  /** What the driver says after it may have seen what was published. */
  #readAgain(): void {
    this.#read();
    this.#fresh = true;
  }

  #read(): void {
    const { reads } = this.memory;
    const { address } = this.#copy;
    const table = this.size * descriptorSize;
    const available = availableLength(this.size);
    // The index before what it vouches for; one aligned word, so not seen in halves.
    reads.add(address + this.#at.index, this.#remote.available, 8);
    reads.add(address + this.#at.available, this.#remote.available, available);
    reads.add(address, this.#remote.table, table);
    if (!reads.run()) throw new QueueViolation('the queue cannot be read');
  }

  /** Fetch the indirect tables of chains not yet taken, then the headers that all begin with. */
  #fetchAhead(next: number, waiting: number): void {
    const { memory } = this;
    for (let n = 0; n < waiting; n++) {
      const at = this.#descriptor(next + n);
      const length = this.#view.getUint32(at + 8, true);
      if (this.#indirect(at) && length > 0) memory.foresee(this.#address(this.#view, at), length);
    }
    memory.fetch();
    for (let n = 0; n < waiting; n++) {
      let at = this.#descriptor(next + n);
      let view = this.#view;
      if (this.#indirect(at)) {
        const length = this.#view.getUint32(at + 8, true);
        if (!memory.foreseen(this.#address(this.#view, at), length)) continue;
        ({ view, at } = memory);
      }
      if (view.getUint32(at + 8, true) === headerLength) {
        memory.foresee(this.#address(view, at), headerLength);
      }
    }
    memory.fetch();
  }

  #descriptor(position: number): number {
    return (this.availableHead(position) & this.#mask) * descriptorSize;
  }

  #indirect(at: number): boolean {
    return (this.#view.getUint16(at + 12, true) & VIRTQ_DESC_F_INDIRECT) !== 0;
  }

  #address(view: DataView, at: number): number {
    return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  }
}

function locate(
  memory: ProcessMemory,
  name: string,
  address: number,
  length: number,
  alignment: number,
): number {
  if (address % alignment !== 0) throw new QueueViolation(`${name} not aligned to ${alignment}`);
  const remote = memory.resolve(address, length);
  if (remote === 0 || memory.resolved < length) {
    throw new QueueViolation(`${name} outside guest memory`);
  }
  return remote;
}

function lost(): QueueViolation {
  return new QueueViolation('guest memory could not be written');
}
