import { Mapping } from '../../../native/linux/mapping.js';
import { readProcessMemory, writeProcessMemory } from '../../../native/linux/process-memory.js';
import type { RegionAccess } from './process-memory.js';

/** Bytes that go through at a time: small enough for the caches, large enough to make the call cheap. */
const chunk = 256 * 1024;

/** After the chunk: an iovec for our side and one for theirs (struct iovec, <bits/types/struct_iovec.h>). */
const vectorsAt = chunk;

/** Memory of another process that is not shared, copied by process_vm_readv(2) and process_vm_writev(2). */
export class CopiedRegion implements RegionAccess {
  readonly kind = 'copied';
  readonly #buffer = Mapping.anonymous(chunk + 4096);

  constructor(
    readonly pid: number,
    readonly userAddress: number,
  ) {}

  read(offset: number, target: Uint8Array): boolean {
    return this.#inChunks(target.length, (start, length) => {
      if (readProcessMemory(this.pid, ...this.#vectors(offset + start, length)) !== length) {
        return false;
      }
      target.set(this.#buffer.bytes(0, length), start);
      return true;
    });
  }

  write(offset: number, bytes: Uint8Array): boolean {
    return this.#inChunks(bytes.length, (start, length) => {
      this.#buffer.bytes(0, length).set(bytes.subarray(start, start + length));
      return writeProcessMemory(this.pid, ...this.#vectors(offset + start, length)) === length;
    });
  }

  close(): void {
    this.#buffer.close();
  }

  #inChunks(total: number, transfer: (start: number, length: number) => boolean): boolean {
    for (let start = 0; start < total; start += chunk) {
      if (!transfer(start, Math.min(chunk, total - start))) return false;
    }
    return true;
  }

  #vectors(offset: number, length: number) {
    const view = this.#buffer.viewAt(0);
    const at = this.#buffer.address + vectorsAt;
    view.setBigUint64(vectorsAt, BigInt(this.#buffer.address), true);
    view.setBigUint64(vectorsAt + 8, BigInt(length), true);
    view.setBigUint64(vectorsAt + 16, BigInt(this.userAddress + offset), true);
    view.setBigUint64(vectorsAt + 24, BigInt(length), true);
    return [
      { address: at, length: 1 },
      { address: at + 16, length: 1 },
    ] as const;
  }
}
