import type { MemoryRegion } from '../guest/index.js';

const GiB = 2 ** 30;
const MiB = 2 ** 20;

/** Physical addresses of 36 bits are what every 64-bit processor has; 39 what every one of this decade has. */
const tops = [64 * GiB, 512 * GiB];
/** Room above the guest's memory for its devices' large registers. */
const headroom = 4 * GiB;
const spacing = 2 * MiB;
const mostPerTop = 64;

/**
 * Guest-physical addresses at which an arena may lie, in the order to be tried: as high as the
 * processor's addresses surely reach, and well above the guest's own memory.
 */
export function arenaPlaces(regions: readonly MemoryRegion[]): number[] {
  const end = Math.max(...regions.map(({ guestAddress, size }) => guestAddress + size));
  return tops.flatMap((top) =>
    Array.from({ length: mostPerTop }, (_, n) => top - (n + 1) * spacing).filter(
      (place) => place >= end + headroom,
    ),
  );
}
