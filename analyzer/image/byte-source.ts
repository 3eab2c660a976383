import { readSync } from 'node:fs';
import type { ByteSource } from './tar.js';

const windowSize = 32 * 1024;

/**
 * Random access to an open file through one small window: headers of neighbouring members come from
 * one read, and the data of large ones is skipped without being read.
 */
export class FileSource implements ByteSource {
  readonly size: number;
  readonly #fd: number;
  readonly #window = Buffer.allocUnsafeSlow(windowSize);
  #start = 0;
  #length = 0;

  /** @param size bytes of the file that belong to the tar, from its beginning. */
  constructor(fd: number, size: number) {
    this.#fd = fd;
    this.size = size;
  }

  read(offset: number, length: number): Buffer {
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    if (wanted > windowSize) {
      const bytes = Buffer.allocUnsafe(wanted);
      return bytes.subarray(0, readFully(this.#fd, bytes, offset));
    }
    if (offset < this.#start || offset + wanted > this.#start + this.#length) {
      this.#start = offset;
      const ahead = Math.min(windowSize, this.size - offset);
      this.#length = readFully(this.#fd, this.#window.subarray(0, Math.max(0, ahead)), offset);
    }
    const from = offset - this.#start;
    return this.#window.subarray(from, Math.min(from + wanted, this.#length));
  }
}

/** A tar in memory. */
export class BufferSource implements ByteSource {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get size(): number {
    return this.#bytes.length;
  }

  read(offset: number, length: number): Buffer {
    return this.#bytes.subarray(offset, offset + length);
  }
}

/** Fill `bytes` from `position` of the file; returns the bytes read, fewer only at its end. */
export function readFully(fd: number, bytes: Buffer, position: number): number {
  let done = 0;
  while (done < bytes.length) {
    const count = readSync(fd, bytes, done, bytes.length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}
