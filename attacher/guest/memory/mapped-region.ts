import { fstatSync, readSync, writeSync } from 'node:fs';
import { closeDescriptor } from '../../../native/linux/event.js';
import { Mapping, pageSize } from '../../../native/linux/mapping.js';
import type { RegionAccess } from './process-memory.js';

/** Bytes that go through at a time. */
const chunk = 2 ** 28;

/**
 * Memory in a file that the hypervisor shares, mapped here too: no system call per access. Were the
 * file cut short, we would fall together with the hypervisor, which has the same pages mapped.
 */
export class MappedRegion implements RegionAccess {
  readonly kind = 'mapped';
  readonly #mapping: Mapping;
  /** From the start of the mapping to the region's first byte. */
  readonly #skip: number;

  /** Map `size` bytes of the file `fd` from `fileOffset`; the descriptor is closed with the region. Throws if they are not there. */
  constructor(
    readonly fd: number,
    readonly fileOffset: number,
    size: number,
  ) {
    const file = fstatSync(fd);
    if (!file.isFile() || file.size < fileOffset + size) {
      throw new RangeError(`memory file of ${file.size} bytes is shorter than its mapping`);
    }
    // A file of huge pages (its block size) can be mapped in whole pages only.
    const unit = Math.max(pageSize, file.blksize);
    const offset = Math.floor(fileOffset / unit) * unit;
    this.#skip = fileOffset - offset;
    const length = Math.ceil((this.#skip + size) / unit) * unit;
    this.#mapping = Mapping.ofFile(fd, { offset, length, writable: true });
  }

  /** Where the region's byte at `offset` is in this process. */
  addressOf(offset: number): number {
    return this.#mapping.address + this.#skip + offset;
  }

  /** The bytes themselves, shared with the guest; at most 1 GiB. */
  view(offset: number, length: number): Uint8Array {
    return this.#mapping.bytes(this.#skip + offset, length);
  }

  // By the file, not by the mapping: a fault for each page that is looked at once costs more than the bytes.
  read(offset: number, target: Uint8Array): boolean {
    for (let done = 0; done < target.length;) {
      const at = this.fileOffset + offset + done;
      const length = Math.min(chunk, target.length - done);
      const count = readSync(this.fd, target, done, length, at);
      if (count === 0) return false;
      done += count;
    }
    return true;
  }

  write(offset: number, bytes: Uint8Array): boolean {
    for (let done = 0; done < bytes.length;) {
      const at = this.fileOffset + offset + done;
      const length = Math.min(chunk, bytes.length - done);
      done += writeSync(this.fd, bytes, done, length, at);
    }
    return true;
  }

  close(): void {
    closeDescriptor(this.fd);
    this.#mapping.close();
  }
}
