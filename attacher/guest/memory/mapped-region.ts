import { fstatSync, readSync, writeSync } from 'node:fs';
import { closeDescriptor } from '../../../native/linux/event.js';
import { Mapping, pageSize } from '../../../native/linux/mapping.js';
import type { RegionAccess } from './process-memory.js';

/** Bytes that go through at a time: less than any view of a mapping holds. */
const chunk = 2 ** 28;

/**
 * Memory in a file that the hypervisor shares, mapped here too. Were the
 * file cut short, we would fall together with the hypervisor, which has the same pages mapped.
 */
export class MappedRegion implements RegionAccess {
  readonly kind = 'mapped';
  readonly #mapping: Mapping;
  /** From the start of the mapping to the region's first byte. */
  readonly #skip: number;
  /**
   * Whether bytes are copied by the file and not by the mapping, where a fault for each page that is
   * looked at once costs more than they do. Files of huge pages cannot be written to (hugetlbfs).
   */
  readonly #byFile: boolean;
  /** The file is mapped in whole units of so many bytes. */
  readonly #unit: number;
  readonly #views: Mapping[] = [];

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
    this.#unit = unit;
    this.#skip = fileOffset - offset;
    this.#byFile = unit === pageSize;
    const length = Math.ceil((this.#skip + size) / unit) * unit;
    this.#mapping = Mapping.ofFile(fd, { offset, length, writable: true });
  }

  /** Where the region's byte at `offset` is in this process. */
  addressOf(offset: number): number {
    return this.#mapping.address + this.#skip + offset;
  }

  /**
   * The bytes themselves, shared with the guest, until the region is closed. They are mapped once more:
   * a view of the whole would have V8 collect garbage, for as large as it is.
   */
  view(offset: number, length: number): Uint8Array {
    const start = this.fileOffset + offset;
    const from = Math.floor(start / this.#unit) * this.#unit;
    const most = Math.ceil((start - from + length) / this.#unit) * this.#unit;
    const mapping = Mapping.ofFile(this.fd, { offset: from, length: most, writable: true });
    this.#views.push(mapping);
    return mapping.bytes(start - from, length);
  }

  read(offset: number, target: Uint8Array): boolean {
    for (let done = 0; done < target.length;) {
      const length = Math.min(chunk, target.length - done);
      if (this.#byFile) {
        const count = readSync(this.fd, target, done, length, this.fileOffset + offset + done);
        if (count === 0) return false;
        done += count;
      } else {
        target.set(this.#mapping.bytes(this.#skip + offset + done, length), done);
        done += length;
      }
    }
    return true;
  }

  write(offset: number, bytes: Uint8Array): boolean {
    for (let done = 0; done < bytes.length;) {
      const length = Math.min(chunk, bytes.length - done);
      if (this.#byFile) {
        done += writeSync(this.fd, bytes, done, length, this.fileOffset + offset + done);
      } else {
        const part = bytes.subarray(done, done + length);
        this.#mapping.bytes(this.#skip + offset + done, length).set(part);
        done += length;
      }
    }
    return true;
  }

  close(): void {
    closeDescriptor(this.fd);
    this.#mapping.close();
    for (const view of this.#views.splice(0)) view.close();
  }
}
