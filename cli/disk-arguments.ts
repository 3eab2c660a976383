import type { DiskOptions } from '../attacher/virtio/disk/open-disk.js';
import type { CommonOptions } from './options.js';

/** Options of `debloat attach --disk-only`. */
export interface DiskArguments extends CommonOptions {
  cow?: true | string;
  serial?: string;
  session?: string;
  loadDrivers?: boolean;
  modules?: string;
  dryRun?: boolean;
}

/** A disk that shall be in a machine, whatever the way. */
export interface DiskAttach {
  /** The hypervisor's process. */
  pid: number;
  disk: DiskOptions;
  serial: string;
  options: DiskArguments;
  tell: (line: string) => void;
  /** Aborts the attach, and ends the session. */
  signal: AbortSignal;
}
