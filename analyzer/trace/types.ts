import type { ImagePath } from '../image/path.js';
import type { Digest } from '../image/types.js';

/**
 * How a process used a path. `open` is for reading, `write` opens or changes it, `stat` covers
 * access(2) and xattr reads, `link` is a symlink stepped through on the way to something else,
 * `list` a directory opened, `change` a rename, unlink, chmod, chown, … of it.
 */
export const accessKinds = [
  'exec',
  'open',
  'write',
  'list',
  'stat',
  'readlink',
  'link',
  'chdir',
  'change',
] as const;
export type AccessKind = (typeof accessKinds)[number];

/** What became of one path over all runs. */
export interface TracedPath {
  /** Each kind of use with the name of the first program that did it. */
  access: Partial<Record<AccessKind, string>>;
  /** In how many of the runs it was used. */
  runs: number;
  /** True if the workload made this path itself (it was not there when first asked for). */
  created?: true;
}

export interface TraceRun {
  /** ISO 8601. */
  startedAt: string;
  /** Wall clock, seconds. */
  seconds: number;
  runtime: string;
  /** Notifications received from the kernel. */
  events: number;
  /** Notifications whose path could not be read, by program; a complete trace has none. */
  unreadable: Record<string, number>;
  /** Records that the sensor could not write, if any (a full disk). */
  lost?: number;
  /** Paths that no earlier run had used, but for those that the workload made itself. */
  newPaths: number;
  /** The workload's own exit, if it ended by itself. */
  exitCode?: number;
}

/** A trace: every path that any process of the workload used. Plain JSON, mergeable over runs and machines. */
export interface Trace {
  schemaVersion: 1;
  image: { reference: string; configDigest: Digest };
  runs: TraceRun[];
  /** By resolved path, symlinks stepped through listed on their own. */
  paths: Record<ImagePath, TracedPath>;
  /** Paths asked for that were not there, with the program that asked first. */
  missing: Record<ImagePath, string>;
}
