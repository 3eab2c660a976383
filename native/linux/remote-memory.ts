import { address as checkAddress, count, processId } from './integers.js';
import { Mapping } from './mapping.js';
import { readProcessMemory, writeProcessMemory } from './process-memory.js';

/** Bytes that one call copies. */
const chunk = 1 << 20;

/** The memory of another process at its own addresses. Throws SystemError where it cannot be reached. */
export class RemoteMemory {
  /** Two iovecs, then the bytes in between. */
  readonly #vectors = Mapping.anonymous(4096);
  readonly #bytes = Mapping.anonymous(chunk);

  constructor(readonly pid: number) {
    processId(pid);
  }

  /** `length` bytes from `address` on; fewer where the memory ends or a page is not there. */
  read(address: number, length: number): Uint8Array {
    const result = new Uint8Array(count('length', length));
    return result.subarray(0, this.readInto(address, result));
  }

  /** Fill `target` from `address` on; how many bytes of it were filled. */
  readInto(address: number, target: Uint8Array): number {
    for (let done = 0; done < target.length;) {
      const size = Math.min(chunk, target.length - done);
      this.#describe(address + done, size);
      const copied = readProcessMemory(this.pid, this.#local, this.#remote);
      target.set(this.#bytes.bytes(0, chunk).subarray(0, copied), done);
      done += copied;
      if (copied < size) return done;
    }
    return target.length;
  }

  /** Write all of `bytes` at `address`. Throws RangeError where only a part could be written. */
  write(address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const size = Math.min(chunk, bytes.length - done);
      this.#bytes.bytes(0, chunk).set(bytes.subarray(done, done + size));
      this.#describe(address + done, size);
      const copied = writeProcessMemory(this.pid, this.#local, this.#remote);
      if (copied < size) throw new RangeError(`only ${done + copied} bytes could be written`);
      done += copied;
    }
  }

  close(): void {
    this.#vectors.close();
    this.#bytes.close();
  }

  get #local() {
    return { address: this.#vectors.address, length: 1 };
  }

  get #remote() {
    return { address: this.#vectors.address + 16, length: 1 };
  }

  /** The iovecs of both sides (<sys/uio.h>). */
  #describe(address: number, size: number): void {
    const view = this.#vectors.viewAt(0);
    view.setBigUint64(0, BigInt(this.#bytes.address), true);
    view.setBigUint64(8, BigInt(size), true);
    view.setBigUint64(16, BigInt(checkAddress(address)), true);
    view.setBigUint64(24, BigInt(size), true);
  }
}
