import { Mapping } from '../../../native/linux/mapping.js';
import {
  copyFromProcess,
  copyToProcess,
  mostVectors,
} from '../../../native/linux/process-memory.js';

const vectorSize = 16;

/**
 * Copies between our memory and another process's, carried out in the order they were added, as
 * many as there may be in one system call (process_vm_readv(2), process_vm_writev(2)).
 */
export class CopyList {
  readonly #vectors = Mapping.anonymous(2 * mostVectors * vectorSize);
  readonly #view = this.#vectors.viewAt(0);
  #count = 0;
  #bytes = 0;
  #failed = false;

  constructor(
    private readonly pid: number,
    private readonly direction: 'from' | 'to',
  ) {}

  /** Add one copy of `length` bytes; addresses are ours and the other's. */
  add(local: number, remote: number, length: number): void {
    if (this.#count === mostVectors) this.#call();
    const at = this.#count * vectorSize;
    this.#set(at, local, length);
    this.#set(mostVectors * vectorSize + at, remote, length);
    this.#count++;
    this.#bytes += length;
  }

  /** Do all that was added and not yet done; false if any of it failed, from whichever copy on. */
  run(): boolean {
    if (this.#count > 0) this.#call();
    const failed = this.#failed;
    this.#failed = false;
    return !failed;
  }

  /** Forget what was added and not yet done. */
  discard(): void {
    this.#count = 0;
    this.#bytes = 0;
    this.#failed = false;
  }

  close(): void {
    this.#vectors.close();
  }

  #call(): void {
    const { address } = this.#vectors;
    const local = { address, length: this.#count };
    const remote = { address: address + mostVectors * vectorSize, length: this.#count };
    const expected = this.#bytes;
    this.#count = 0;
    this.#bytes = 0;
    // What comes after a copy that failed must not be seen without it.
    if (this.#failed) return;
    const copied =
      this.direction === 'from'
        ? copyFromProcess(this.pid, local, remote)
        : copyToProcess(this.pid, local, remote);
    this.#failed = copied !== expected;
  }

  /** struct iovec. */
  #set(at: number, address: number, length: number): void {
    this.#view.setUint32(at, address >>> 0, true);
    this.#view.setUint32(at + 4, Math.floor(address / 2 ** 32), true);
    this.#view.setUint32(at + 8, length >>> 0, true);
    this.#view.setUint32(at + 12, Math.floor(length / 2 ** 32), true);
  }
}
