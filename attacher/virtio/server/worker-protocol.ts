import type { DiskFacts, DiskOptions } from '../disk/open-disk.js';

/** What the worker of a server is started with. */
export interface WorkerOptions {
  disk: DiskOptions;
  queues: number;
  id: string;
  /** Descriptor of the listening socket. */
  listener: number;
}

/** What the server does with what, for the user. */
export interface ServedFacts extends DiskFacts {
  engine: string;
}
