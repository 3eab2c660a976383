import { closeSync, readSync } from 'node:fs';
import { Mapping } from '../../../native/linux/mapping.js';
import { RequestType, sectorSize } from '../block/protocol.js';
import type { BlockRequest } from '../block/request.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import type { Disk } from './disk.js';

/** The most that is copied in one go. */
const chunk = 2 ** 20;

/**
 * A read-only image held in our own memory: a read is a copy, without the kernel. (A mapped file
 * would not do: a page that is not resident blocks the queue, one cut off is a SIGBUS.)
 */
export class ResidentDisk implements Disk {
  readonly readOnly = true;
  readonly sectors: number;
  readonly #memory: Mapping;

  /** Reads all `size` bytes of `fd` and closes it. Throws where the file ends early. */
  constructor(fd: number, size: number) {
    this.sectors = Math.ceil(size / sectorSize);
    this.#memory = Mapping.anonymous(this.sectors * sectorSize);
    for (let offset = 0; offset < size;) {
      const target = this.#memory.bytes(offset, Math.min(chunk, size - offset));
      const got = readSync(fd, target, 0, target.length, offset);
      if (got === 0) throw new RangeError('the image ends early');
      offset += got;
    }
    closeSync(fd);
  }

  next(request: BlockRequest, memory: GuestMemory): boolean {
    if (request.type !== RequestType.in) return false;
    let position = request.offset;
    for (let n = 0; n < request.segments; n++) {
      const length = request.lengths[n] ?? 0;
      for (let done = 0; done < length;) {
        const piece = Math.min(length - done, chunk);
        const address = (request.guestAddresses[n] ?? 0) + done;
        memory.copyIn(address, this.#memory, position + done, piece);
        done += piece;
      }
      position += length;
    }
    request.done = request.length;
    return false;
  }

  transferred(): void {
    // Nothing is transferred: what is asked for is copied at once.
  }

  close(): void {
    this.#memory.close();
  }
}
