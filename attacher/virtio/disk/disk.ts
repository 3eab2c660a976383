import type { MappedFile } from '../../../native/linux/page-copier.js';
import type { BlockRequest } from '../block/request.js';

/** What is served: decides which transfers carry out a request. */
export interface Disk {
  /** Size in sectors of 512 bytes. */
  readonly sectors: number;
  readonly readOnly: boolean;
  /** The file that most of it is read from, if there is one. */
  readonly source?: MappedFile;

  /**
   * Set `request`’s next step for what is left after its first `done` bytes; false if nothing is:
   * it is complete. The request is a sound one, and a write only where the disk takes them.
   */
  next(request: BlockRequest): boolean;

  /** `bytes` of the request’s step were transferred, from its old `done` on. */
  transferred(request: BlockRequest, bytes: number): void;

  close(): void;
}
