import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { RegionAccess } from './process-memory.js';

/** Memory of another process through /proc/PID/mem: the last resort, where process_vm_readv(2) is filtered. */
export class FileRegion implements RegionAccess {
  readonly kind = 'file';
  readonly #fd: number;

  constructor(
    pid: number,
    readonly userAddress: number,
  ) {
    this.#fd = openSync(`/proc/${pid}/mem`, 'r+');
  }

  read(offset: number, target: Uint8Array): boolean {
    for (let done = 0; done < target.length;) {
      const at = this.userAddress + offset + done;
      const length = readSync(this.#fd, target, done, target.length - done, at);
      if (length === 0) return false;
      done += length;
    }
    return true;
  }

  write(offset: number, bytes: Uint8Array): boolean {
    for (let done = 0; done < bytes.length;) {
      const at = this.userAddress + offset + done;
      const length = writeSync(this.#fd, bytes, done, bytes.length - done, at);
      if (length === 0) return false;
      done += length;
    }
    return true;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
