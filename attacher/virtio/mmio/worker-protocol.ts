import type { Counter } from '../block/statistics.js';
import type { DiskFacts, DiskOptions } from '../disk/open-disk.js';
import type { GuestRegion } from './queue-memory.js';
import type { WindowPlace } from './window.js';

/** What is served: an image, or a disk whose every request fails (to let go of a guest after a crash). */
export type MmioDisk = DiskOptions | { kind: 'failed' };

/** What a disk is served through; descriptors stay the caller's and open until the server has ended. */
export interface MmioOptions {
  disk: MmioDisk;
  window: WindowPlace;
  /** The device in the window is already known to a driver: go on with it, where another server ended. */
  takeOver: boolean;
  /** Eventfds that are signalled when the driver writes to QueueNotify and to Status. */
  doorbells: { notify: number; status: number };
  /** The eventfd that interrupts the guest; without one the driver polls. */
  interrupt?: number | undefined;
  /** The hypervisor, and the guest's memory. */
  memory: { pid: number; regions: readonly GuestRegion[] };
  /** The disk's serial in the guest; 20 bytes count. */
  id: string;
}

/** Why serving ended. */
export type EndReason = 'stopped' | 'hypervisor gone';

/** What the server does with what, for the user. */
export interface MmioFacts extends DiskFacts {
  engine: string;
  memory: 'mapped' | 'process';
}

/** What came of it. */
export interface MmioReport {
  reason: EndReason;
  statistics: Record<Counter, number>;
}
