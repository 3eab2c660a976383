import { MappedRegion } from '../guest/memory/mapped-region.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import type { GuestRegion } from '../virtio/mmio/queue-memory.js';

/** The guest's memory as the block server takes it: with a file where it is shared. */
export function guestRegions({ regions }: ProcessMemory): GuestRegion[] {
  return regions.map(({ guestAddress, size, userAddress, access }) => ({
    ...{ guestAddress, size, userAddress },
    ...(access instanceof MappedRegion ? { fd: access.fd, offset: access.fileOffset } : {}),
  }));
}
