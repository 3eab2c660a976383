import { BouncingEngine } from '../disk/bouncing-engine.js';
import type { IoEngine } from '../disk/io-engine.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import { MappedMemory } from '../memory/mapped-memory.js';
import { ProcessMemory } from '../memory/process-memory.js';
import { MappedRing } from '../queue/mapped-ring.js';
import { ProcessRing } from '../queue/process-ring.js';
import type { Ring, RingAddresses } from '../queue/ring.js';

/** A stretch of guest memory: where the hypervisor has it, and its file here, if it is shared. */
export interface GuestRegion {
  guestAddress: number;
  size: number;
  userAddress: number;
  fd?: number | undefined;
  offset?: number | undefined;
}

/** Guest memory by the best way there is, with what belongs to that way. */
export interface QueueMemory {
  readonly kind: 'mapped' | 'process';
  readonly guest: GuestMemory;
  /** A ring in it. Throws QueueViolation where it cannot be. */
  ring(addresses: RingAddresses, size: number): Ring;
  /** An engine that can reach it, of one that reaches our own memory. */
  engine(inner: IoEngine): IoEngine;
  /** What is on its way to the guest is not to arrive. */
  discard(): void;
  close(): void;
}

/** Mapped if all regions are shared with us, else copied from and to the process. Throws RangeError, RegionError. */
export function openGuestMemory(pid: number, regions: readonly GuestRegion[]): QueueMemory {
  return regions.every(({ fd }) => fd !== undefined) ? mapped(regions) : copied(pid, regions);
}

function mapped(regions: readonly GuestRegion[]): QueueMemory {
  const guest = new MappedMemory({ seal: false });
  for (const { fd, offset = 0, ...region } of regions) {
    guest.add({ ...region, fileOffset: offset }, fd ?? -1);
  }
  return {
    kind: 'mapped',
    guest,
    ring: (addresses, size) => new MappedRing(guest, addresses, size),
    engine: (inner) => inner,
    discard: () => undefined,
    close: () => guest.clear(),
  };
}

function copied(pid: number, regions: readonly GuestRegion[]): QueueMemory {
  const guest = new ProcessMemory(pid, regions);
  return {
    kind: 'process',
    guest,
    ring: (addresses, size) => new ProcessRing(guest, addresses, size),
    engine: (inner) => new BouncingEngine(inner, guest),
    discard: () => guest.discard(),
    close: () => guest.close(),
  };
}
