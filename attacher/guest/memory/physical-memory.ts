/** A stretch of guest memory. Addresses and sizes are bytes; guest-physical ones are below 2^52, so plain numbers. */
export interface MemoryRegion {
  guestAddress: number;
  size: number;
}

/** A guest's memory by guest-physical address. Whatever address a guest makes up, nothing outside a region is touched. */
export interface PhysicalMemory {
  /** In ascending order, without overlap. */
  readonly regions: readonly MemoryRegion[];

  /** A copy of these bytes: what is checked there stays as it is. Undefined if any is outside memory. */
  read(address: number, length: number): Uint8Array | undefined;

  /** As `read`, into `target`; false, with `target` in any state, if any byte is outside memory. */
  readInto(address: number, target: Uint8Array): boolean;

  /** Overwrite guest memory; false if any byte is outside memory, and then none is written. */
  write(address: number, bytes: Uint8Array): boolean;
}

/** A part of a range that lies in one region: `offset` in it, and where in the range it begins. */
export interface Piece<T> {
  region: T;
  offset: number;
  start: number;
  length: number;
}

/** The most that one read or write may ask for. */
const longest = 2 ** 30;

/** Split a range at region borders; undefined if any byte of it is outside all regions. */
export function piecesOf<T extends MemoryRegion>(
  regions: readonly T[],
  address: number,
  length: number,
): Piece<T>[] | undefined {
  if (!Number.isSafeInteger(address) || address < 0) return undefined;
  if (!Number.isSafeInteger(length) || length < 0 || length > longest) return undefined;
  const pieces: Piece<T>[] = [];
  let start = 0;
  for (const region of regions) {
    if (start === length) break;
    const offset = address + start - region.guestAddress;
    if (offset < 0) return undefined;
    if (offset >= region.size) continue;
    const part = Math.min(length - start, region.size - offset);
    pieces.push({ region, offset, start, length: part });
    start += part;
  }
  return start === length ? pieces : undefined;
}

/** `regions` in ascending order; throws RangeError where one is not a region, or two overlap. */
export function inOrder<T extends MemoryRegion>(regions: readonly T[]): T[] {
  const sorted = [...regions].sort((a, b) => a.guestAddress - b.guestAddress);
  let end = 0;
  for (const { guestAddress, size } of sorted) {
    const whole = Number.isSafeInteger(guestAddress) && Number.isSafeInteger(size);
    if (!whole || size <= 0 || guestAddress < end || guestAddress + size > 2 ** 52) {
      throw new RangeError(`guest memory region at ${guestAddress} of ${size} bytes cannot be`);
    }
    end = guestAddress + size;
  }
  return sorted;
}
