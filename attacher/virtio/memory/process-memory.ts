import { Mapping } from '../../../native/linux/mapping.js';
import { CopyList } from './copy-list.js';
import type { GuestMemory } from './guest-memory.js';

/** A stretch of guest memory, and where the hypervisor has it. */
export interface ProcessRegion {
  guestAddress: number;
  size: number;
  userAddress: number;
}

/** Our copies of guest bytes: of one `open`, of what was fetched ahead, and of what is to be written. */
const areas = { open: 0, ahead: 1 << 16, writes: 1 << 20, end: (1 << 20) + (1 << 16) };
/** The most that one `open` or `openToWrite` reaches: indirect tables are the longest. */
const longest = 1 << 16;

/**
 * Guest memory that its owner does not share: it is copied from and to the owner's process. `open`
 * shows a copy, `resolve` gives addresses in that process, and what is written is on its way until
 * `flush`. Small reads that can be foreseen are fetched ahead, all in one call.
 */
export class ProcessMemory implements GuestMemory {
  at = 0;
  resolved = 0;
  readonly view: DataView;
  /** Copies out of the guest, to be run by whoever adds them. */
  readonly reads: CopyList;
  /** Copies into the guest, in the order in which it may see them. */
  readonly writes: CopyList;
  /** How often writes were flushed. */
  flushes = 0;
  readonly #scratch = Mapping.anonymous(areas.end);
  readonly #regions: (ProcessRegion & { end: number })[] = [];
  readonly #ahead = new Map<number, { at: number; length: number }>();
  #aheadEnd: number = areas.ahead;
  #writesEnd: number = areas.writes;
  #failed = false;

  /** Throws RangeError where a region cannot be. */
  constructor(
    readonly pid: number,
    regions: readonly ProcessRegion[],
  ) {
    for (const { guestAddress, size, userAddress } of regions) {
      const sound = [guestAddress, size, userAddress].every(
        (value) => Number.isSafeInteger(value) && value >= 0 && value <= 2 ** 52,
      );
      if (!sound || size === 0 || userAddress < 4096) {
        throw new RangeError(`memory region of ${size} bytes at ${guestAddress}, ${userAddress}`);
      }
      this.#regions.push({ guestAddress, size, userAddress, end: guestAddress + size });
    }
    this.view = this.#scratch.viewAt(0);
    this.reads = new CopyList(pid, 'from');
    this.writes = new CopyList(pid, 'to');
  }

  open(address: number, length: number): boolean {
    if (this.foreseen(address, length)) return true;
    if (length > longest || !this.#add(this.reads, areas.open, address, length)) return false;
    this.at = areas.open;
    return this.reads.run();
  }

  openToWrite(address: number, length: number): boolean {
    if (length > longest) return false;
    if (this.#writesEnd + length > areas.end) this.push();
    const at = this.#writesEnd;
    if (!this.#add(this.writes, at, address, length)) return false;
    this.at = at;
    this.#writesEnd = at + length;
    return true;
  }

  contains(address: number, length: number): boolean {
    for (let done = 0; done < length; done += this.resolved) {
      if (this.resolve(address + done, length - done) === 0) return false;
    }
    return true;
  }

  resolve(address: number, length: number): number {
    for (const region of this.#regions) {
      if (address >= region.guestAddress && address < region.end) {
        this.resolved = Math.min(length, region.end - address);
        return region.userAddress + (address - region.guestAddress);
      }
    }
    return 0;
  }

  /** Have `length` bytes at `address` fetched by `fetch`, so that `open` finds them. */
  foresee(address: number, length: number): void {
    const at = this.#aheadEnd;
    if (at + length > areas.writes || this.#ahead.has(address)) return;
    if (!this.#add(this.reads, at, address, length)) return;
    this.#ahead.set(address, { at, length });
    this.#aheadEnd = Math.ceil((at + length) / 8) * 8;
  }

  /** Like `open`, but only for what was fetched ahead. */
  foreseen(address: number, length: number): boolean {
    const ahead = this.#ahead.get(address);
    if (ahead?.length !== length) return false;
    this.at = ahead.at;
    return true;
  }

  /** Fetch what was foreseen. Where that fails, `open` will say so. */
  fetch(): void {
    if (!this.reads.run()) this.forget();
  }

  /** Forget what was fetched: it is no longer what the guest has there. */
  forget(): void {
    this.#ahead.clear();
    this.#aheadEnd = areas.ahead;
  }

  /** Let the guest have all that was written; false if some of it since the last time could not be. */
  flush(): boolean {
    this.push();
    const failed = this.#failed;
    this.#failed = false;
    return !failed;
  }

  /** What was written and not yet flushed is not to happen. */
  discard(): void {
    this.writes.discard();
    this.#writesEnd = areas.writes;
    this.#failed = false;
  }

  close(): void {
    this.reads.close();
    this.writes.close();
    this.#scratch.close();
  }

  /** Let the guest have what was written; `flush` tells later whether it could be. */
  push(): void {
    if (!this.writes.run()) this.#failed = true;
    this.#writesEnd = areas.writes;
    this.flushes++;
  }

  /** Copies between scratch memory and all of a range; none if a byte is outside. */
  #add(list: CopyList, at: number, address: number, length: number): boolean {
    if (!this.contains(address, length)) return false;
    const local = this.#scratch.address + at;
    for (let done = 0; done < length; done += this.resolved) {
      const remote = this.resolve(address + done, length - done);
      list.add(local + done, remote, this.resolved);
    }
    return true;
  }
}
