import { RemoteMemory } from '../../../native/linux/remote-memory.js';
import type { RegionAccess } from './process-memory.js';

/** Memory of another process that is not shared, copied by process_vm_readv(2) and process_vm_writev(2). */
export class CopiedRegion implements RegionAccess {
  readonly kind = 'copied';
  readonly #memory: RemoteMemory;

  constructor(
    pid: number,
    readonly userAddress: number,
  ) {
    this.#memory = new RemoteMemory(pid);
  }

  read(offset: number, target: Uint8Array): boolean {
    return this.#memory.readInto(this.userAddress + offset, target) === target.length;
  }

  write(offset: number, bytes: Uint8Array): boolean {
    try {
      this.#memory.write(this.userAddress + offset, bytes);
      return true;
    } catch (error) {
      if (error instanceof RangeError) return false; // only a part could be written
      throw error;
    }
  }

  close(): void {
    this.#memory.close();
  }
}
