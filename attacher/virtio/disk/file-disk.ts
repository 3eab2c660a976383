import { closeSync, openSync } from 'node:fs';
import type { MappedFile } from '../../../native/linux/page-copier.js';
import { RequestType, sectorSize } from '../block/protocol.js';
import { Transfer, type BlockRequest } from '../block/request.js';
import type { Disk } from './disk.js';

/** A file as it is: an image that is only read, or a writable raw disk. */
export class FileDisk implements Disk {
  readonly sectors: number;
  readonly source: MappedFile;
  readonly #zeros = openSync('/dev/zero', 'r');

  /**
   * `fd` is a file of `size` bytes, open for what is wanted, and becomes ours. Of a file that is
   * only read the last sector may be short: its rest reads as zeros. `inMemory`: as of MappedFile.
   */
  constructor(
    private readonly fd: number,
    private readonly size: number,
    readonly readOnly: boolean,
    { inMemory = false } = {},
  ) {
    this.source = { fd, size, inMemory };
    this.sectors = readOnly ? Math.ceil(size / sectorSize) : Math.floor(size / sectorSize);
  }

  next(request: BlockRequest): boolean {
    if (request.type === RequestType.discard || request.type === RequestType.writeZeroes) {
      return request.rangeStep(this.fd);
    }
    const left = request.length - request.done;
    if (left === 0) return false;
    const position = request.offset + request.done;
    switch (request.type) {
      case RequestType.in:
        return this.readStep(request, position, left);
      case RequestType.out:
        return request.step(Transfer.write, this.fd, position, left);
      default:
        return request.step(Transfer.sync, this.fd, 0, left);
    }
  }

  /** The step that reads `length` bytes at `position`, beyond the end of the file as zeros. */
  readStep(request: BlockRequest, position: number, length: number): true {
    if (position >= this.size) return request.step(Transfer.read, this.#zeros, 0, length);
    return request.step(Transfer.read, this.fd, position, Math.min(length, this.size - position));
  }

  transferred(): void {
    // The file itself is all there is to remember.
  }

  close(): void {
    closeSync(this.fd);
    closeSync(this.#zeros);
  }
}
