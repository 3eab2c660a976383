import { Refusal } from '../../refusal.js';
import { failedWith } from '../../../native/linux/system-error.js';
import { inOrder, piecesOf, type MemoryRegion, type PhysicalMemory } from './physical-memory.js';

/** Bytes of a region, by offset; `false` where they cannot be had (any more). Offsets are checked already. */
export interface RegionAccess {
  /** How the bytes are reached. */
  readonly kind: 'mapped' | 'copied' | 'file';
  read(offset: number, target: Uint8Array): boolean;
  write(offset: number, bytes: Uint8Array): boolean;
  close(): void;
}

/** A region, and where its owner (the hypervisor) has it mapped. */
export interface ProcessRegion extends MemoryRegion {
  userAddress: number;
  access: RegionAccess;
}

/** Guest memory in another process, each region reached in the way that fits it. */
export class ProcessMemory implements PhysicalMemory {
  readonly regions: readonly ProcessRegion[];

  constructor(regions: readonly ProcessRegion[]) {
    this.regions = inOrder(regions);
  }

  read(address: number, length: number): Uint8Array | undefined {
    if (piecesOf(this.regions, address, length) === undefined) return undefined;
    const target = new Uint8Array(length);
    return this.readInto(address, target) ? target : undefined;
  }

  readInto(address: number, target: Uint8Array): boolean {
    const pieces = piecesOf(this.regions, address, target.length);
    return (
      pieces?.every(({ region, offset, start, length }) =>
        guarded(() => region.access.read(offset, target.subarray(start, start + length))),
      ) ?? false
    );
  }

  write(address: number, bytes: Uint8Array): boolean {
    const pieces = piecesOf(this.regions, address, bytes.length);
    return (
      pieces?.every(({ region, offset, start, length }) =>
        guarded(() => region.access.write(offset, bytes.subarray(start, start + length))),
      ) ?? false
    );
  }

  close(): void {
    for (const { access } of this.regions) access.close();
  }
}

/** An address that is not mapped is no surprise; a process that has ended is one worth a sentence. */
function guarded(access: () => boolean): boolean {
  try {
    return access();
  } catch (error) {
    if (failedWith(error, 'EFAULT', 'EIO')) return false;
    if (failedWith(error, 'ESRCH')) {
      throw new Refusal('not-found', 'the virtual machine has ended', { cause: error });
    }
    throw error;
  }
}
