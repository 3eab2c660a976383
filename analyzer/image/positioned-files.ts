import { closeSync, openSync, read as readCallback } from 'node:fs';
import { promisify } from 'node:util';
import { DebloatError } from '../errors.js';
import { readFully } from './byte-source.js';

const readAsync = promisify(readCallback);
// Up to here the page cache answers faster than a thread pool hands over.
const smallRead = 64 * 1024;

/** Files opened on first use, read by position, closed together. */
export class PositionedFiles {
  readonly #open = new Map<string, number>();

  /** Fill `bytes` from `position` of `file`; throws if the file ends before. */
  async readInto(file: string, bytes: Buffer, position: number): Promise<void> {
    const fd = this.#fd(file);
    let done = 0;
    if (bytes.length <= smallRead) {
      done = readFully(fd, bytes, position);
    } else {
      while (done < bytes.length) {
        const rest = bytes.length - done;
        const { bytesRead } = await readAsync(fd, bytes, done, rest, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
    }
    if (done < bytes.length) {
      throw new DebloatError(`${file} ended early: it was changed while debloat used it`);
    }
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  #fd(file: string): number {
    let fd = this.#open.get(file);
    if (fd === undefined) {
      fd = openSync(file, 'r');
      this.#open.set(file, fd);
    }
    return fd;
  }
}
