import type { DiskFacts, DiskOptions } from '../disk/open-disk.js';

/** What the worker of a server is started with. */
export interface WorkerOptions {
  disk: DiskOptions;
  queues: number;
  id: string;
  /** Descriptors of the listening socket and of the eventfd that ends it. */
  listener: number;
  stop: number;
  /** Memory of the statistics. */
  statistics: SharedArrayBuffer;
}

/** What it tells. It can tell while it waits, but not be told: `stop` does that. */
export type WorkerMessage =
  | { kind: 'ready'; disk: DiskFacts; engine: string }
  | { kind: 'log'; line: string }
  | { kind: 'failed'; message: string; hint?: string | undefined };
