import { closeSync, openSync } from 'node:fs';
import { Transfer, type BlockRequest } from '../block/request.js';
import type { Disk } from './disk.js';

/** A disk whose every request is an I/O error: what is left where the real one cannot be had. */
export class FailedDisk implements Disk {
  readonly sectors = 0;
  readonly readOnly = true;
  /** Cannot be synced (EINVAL), which fails like any other I/O, on any engine and without buffers. */
  readonly #fd = openSync('/dev/null', 'r');

  next(request: BlockRequest): boolean {
    return request.step(Transfer.sync, this.#fd, 0, 1);
  }

  transferred(): void {
    // Nothing ever is.
  }

  close(): void {
    closeSync(this.#fd);
  }
}
