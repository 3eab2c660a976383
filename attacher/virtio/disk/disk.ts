import type { BlockRequest } from '../block/request.js';

/** A file that is read from where a disk says. */
export interface ReadFile {
  readonly fd: number;
  /** In bytes; may no longer be so. */
  readonly size: number;
  /** A file in memory (memfd) that only we have: always there, and never shorter. */
  readonly inMemory: boolean;
}

/** What is served: decides which transfers carry out a request. */
export interface Disk {
  /** Size in sectors of 512 bytes. */
  readonly sectors: number;
  readonly readOnly: boolean;
  /** The file that most of it is read from, if there is one. */
  readonly source?: ReadFile;

  /**
   * Set `request`’s next step for what is left after its first `done` bytes; false if nothing is:
   * it is complete. The request is a sound one, and a write only where the disk takes them.
   */
  next(request: BlockRequest): boolean;

  /** `bytes` of the request’s step were transferred, from its old `done` on. */
  transferred(request: BlockRequest, bytes: number): void;

  close(): void;
}
