import { DebloatError } from '../../analyzer/errors.js';
import { MappedRegion } from './memory/mapped-region.js';
import type { ProcessMemory } from './memory/process-memory.js';

/**
 * Pages shared with the guest. Where they cannot be mapped here, `bytes` is a copy: `pull` brings what
 * the guest wrote into it, `push` takes there what was written here.
 */
export interface ArenaMemory {
  readonly bytes: Uint8Array;
  pull(offset: number, length: number): void;
  push(offset: number, length: number): void;
}

/** Pages that are mapped here: nothing is to be copied. */
export function mappedArena(bytes: Uint8Array): ArenaMemory {
  return { bytes, pull: () => undefined, push: () => undefined };
}

/** `size` bytes of guest memory from `address` on, in the way that the hypervisor's memory allows. */
export function arenaIn(memory: ProcessMemory, address: number, size: number): ArenaMemory {
  const region = memory.regions.find(
    ({ guestAddress, size: most }) =>
      address >= guestAddress && address + size <= guestAddress + most,
  );
  if (region === undefined) {
    throw new DebloatError('The session’s place is not in the guest’s memory.');
  }
  if (region.access instanceof MappedRegion) {
    return mappedArena(region.access.view(address - region.guestAddress, size));
  }
  const bytes = new Uint8Array(size);
  const gone = () => new DebloatError('The guest’s memory can no longer be reached.');
  return {
    bytes,
    pull: (offset, length) => {
      if (!memory.readInto(address + offset, bytes.subarray(offset, offset + length))) throw gone();
    },
    push: (offset, length) => {
      if (!memory.write(address + offset, bytes.subarray(offset, offset + length))) throw gone();
    },
  };
}
