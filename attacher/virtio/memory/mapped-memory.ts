import { fstatSync } from 'node:fs';
import { Mapping, offsetInView, pageSize } from '../../../native/linux/mapping.js';
import { sealAgainstShrinking } from '../../../native/linux/memory-file.js';
import { longestOpen, type GuestMemory } from './guest-memory.js';

/** A stretch of guest memory in a file that is shared with us. */
export interface Region {
  guestAddress: number;
  size: number;
  /** Where its owner has it mapped: vhost-user gives ring addresses so. */
  userAddress: number;
  /** Where it begins in its file. */
  fileOffset: number;
}

/** A region that cannot be: says why. */
export class RegionError extends Error {
  override readonly name = 'RegionError';
}

interface MappedRegion extends Region {
  end: number;
  mapping: Mapping;
  /** From the start of the mapping to the region’s first byte. */
  skip: number;
}

const emptyView = new DataView(new ArrayBuffer(0));

/** Guest memory that its owner shares by file descriptors, mapped here as a whole. */
export class MappedMemory implements GuestMemory {
  view: DataView = emptyView;
  at = 0;
  resolved = 0;
  readonly #regions: MappedRegion[] = [];
  #last: MappedRegion | undefined;

  /** With `seal` the files can no longer be shortened, as far as their makers allow that. */
  constructor(private readonly options: { seal: boolean } = { seal: true }) {}

  /** The regions there are, in the order they were added. */
  get regions(): readonly Region[] {
    return this.#regions;
  }

  /** Map `region` of the file `fd`, which stays the caller’s; throws RegionError where it cannot be. */
  add(region: Region, fd: number): void {
    const { guestAddress, size, userAddress, fileOffset } = region;
    for (const [what, value] of Object.entries({ guestAddress, size, userAddress, fileOffset })) {
      if (!Number.isSafeInteger(value) || value < 0 || value > 2 ** 52) {
        throw new RegionError(`memory region with ${what} ${value}`);
      }
    }
    if (size === 0) throw new RegionError('memory region of no bytes');
    const other = this.#regions.find(
      (each) => overlap(each, region, 'guestAddress') || overlap(each, region, 'userAddress'),
    );
    if (other) {
      throw new RegionError(
        `memory region at ${hex(guestAddress)} overlaps the one at ${hex(other.guestAddress)}`,
      );
    }
    const file = fstatSync(fd);
    if (!file.isFile() || file.size < fileOffset + size) {
      throw new RegionError(
        `memory region at ${hex(guestAddress)} reaches beyond its file of ${file.size} bytes`,
      );
    }
    // A file of huge pages (its block size) can be mapped in whole pages only.
    const unit = Math.max(pageSize, file.blksize);
    const offset = Math.floor(fileOffset / unit) * unit;
    const skip = fileOffset - offset;
    const length = Math.ceil((skip + size) / unit) * unit;
    if (this.options.seal) sealAgainstShrinking(fd);
    const mapping = Mapping.ofFile(fd, { offset, length, writable: true });
    this.#regions.push({ ...region, end: guestAddress + size, mapping, skip });
  }

  /** Take a region away; false if there is no such. The caller sees to it that no I/O is under way. */
  remove(guestAddress: number, size: number): boolean {
    const index = this.#regions.findIndex(
      (each) => each.guestAddress === guestAddress && each.size === size,
    );
    if (index < 0) return false;
    for (const { mapping } of this.#regions.splice(index, 1)) mapping.close();
    this.#forget();
    return true;
  }

  /** Take all regions away. */
  clear(): void {
    for (const { mapping } of this.#regions.splice(0)) mapping.close();
    this.#forget();
  }

  open(address: number, length: number): boolean {
    const region = this.#find(address);
    if (region === undefined || address + length > region.end || length > longestOpen) return false;
    const offset = region.skip + (address - region.guestAddress);
    this.view = region.mapping.viewAt(offset);
    this.at = offsetInView(offset);
    return true;
  }

  openToWrite(address: number, length: number): boolean {
    return this.open(address, length);
  }

  contains(address: number, length: number): boolean {
    const region = this.#find(address);
    return region !== undefined && address + length <= region.end;
  }

  resolve(address: number, length: number): number {
    const region = this.#find(address);
    if (region === undefined) return 0;
    this.resolved = Math.min(length, region.end - address);
    return region.mapping.address + region.skip + (address - region.guestAddress);
  }

  /** The guest-physical address of what its owner has at `userAddress`; undefined if that is nowhere. */
  guestAddressOf(userAddress: number): number | undefined {
    for (const region of this.#regions) {
      const offset = userAddress - region.userAddress;
      if (offset >= 0 && offset < region.size) return region.guestAddress + offset;
    }
    return undefined;
  }

  #find(address: number): MappedRegion | undefined {
    const last = this.#last;
    if (last !== undefined && address >= last.guestAddress && address < last.end) return last;
    for (const region of this.#regions) {
      if (address >= region.guestAddress && address < region.end) return (this.#last = region);
    }
    return undefined;
  }

  #forget(): void {
    this.#last = undefined;
    this.view = emptyView;
    this.at = 0;
  }
}

function overlap(one: Region, other: Region, by: 'guestAddress' | 'userAddress'): boolean {
  return one[by] < other[by] + other.size && other[by] < one[by] + one.size;
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}
