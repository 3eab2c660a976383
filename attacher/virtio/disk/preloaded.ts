import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { closeDescriptor } from '../../../native/linux/event.js';
import { createMemoryFile } from '../../../native/linux/memory-file.js';
import { FileDisk } from './file-disk.js';

/** The most that is read in one go. */
const chunk = 2 ** 20;

/**
 * A read-only image of `size` bytes, held in memory: no read of it waits for a medium. Reads all of
 * `fd` and closes it; throws where the file ends early.
 */
export function preloaded(fd: number, size: number): FileDisk {
  const memory = createMemoryFile('debloat-image', size);
  try {
    const buffer = new Uint8Array(Math.min(chunk, size));
    for (let offset = 0; offset < size;) {
      const got = readSync(fd, buffer, 0, Math.min(chunk, size - offset), offset);
      if (got === 0) throw new RangeError('the image ends early');
      for (let done = 0; done < got;) {
        done += writeSync(memory, buffer, done, got - done, offset + done);
      }
      offset += got;
    }
    // Opened anew to be read only; and in a worker, Node warns when closing what it did not open.
    const held = openSync(`/proc/self/fd/${memory}`, 'r');
    closeSync(fd);
    return new FileDisk(held, size, true, { inMemory: true });
  } finally {
    closeDescriptor(memory);
  }
}
