import type { ImagePath } from '../image/path.js';
import type { AccessKind } from './types.js';

/** One distinct use of one path, as the sensor wrote it. */
export interface RawRecord {
  kind: AccessKind;
  /** Absolute in the container, symlinks resolved (but for `link` and `readlink`, which name the symlink). */
  path: ImagePath;
  /** Name of the program that did it first. */
  by: string;
  /** Whether the path was there when asked for; `created`: it was not, and the call makes it. */
  outcome: 'found' | 'missing' | 'created';
}

/** What the sensors of one container recorded (the entrypoint's and each exec's, together). */
export interface RawTrace {
  records: RawRecord[];
  /** Notifications received from the kernel. */
  events: number;
  /** Notifications whose path could not be read, by program name. */
  unreadable: Map<string, number>;
  /** Records that could not be written (a full disk); a complete trace has none. */
  lost?: number;
  /** The workload ran with no_new_privs: its setuid programs did not change user. */
  noNewPrivileges?: boolean;
}
