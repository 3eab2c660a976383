import { kernelStart } from '../guest/kernel-image.js';
import type { MemoryRegion, PhysicalMemory } from '../guest/memory/physical-memory.js';
import { PageTables, type PagingRegisters } from '../guest/page-tables.js';
import { Refusal } from '../refusal.js';

const GiB = 2n ** 30n;

/** How much of the direct mapping is looked at, in stretches: it is a handful in a guest of any size. */
const mostExtents = 4096;

/**
 * How many bytes of `memory` the guest's kernel uses as memory, if `memory` is laid out as the kernel sees
 * it; undefined if it is not, or nothing can be told. Linux maps all its memory one to one at an
 * address of whole GiB (page_offset_base, Documentation/arch/x86/x86_64/mm.rst). With a wrong layout
 * the tables are read from wrong places, or map memory that is not there.
 */
export function directlyMapped(
  memory: PhysicalMemory,
  registers: PagingRegisters,
): number | undefined {
  try {
    for (const tables of PageTables.candidates(memory, registers)) {
      for (const base of directMapBases(tables)) {
        const bytes = measure(tables, base);
        if (bytes !== undefined) return bytes;
      }
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
  return undefined;
}

/** Addresses in the kernel's half that can be the start of the direct mapping. */
function* directMapBases(tables: PageTables): Generator<bigint> {
  const slot = 1n << BigInt(tables.levels * 9 + 3);
  const half = 2n ** 64n - 256n * slot;
  for (const start of tables.kernelSlots()) {
    // The last one is the kernel's own text and modules.
    if (start === 2n ** 64n - slot) break;
    for (const { virtual, physical } of tables.extents(start, start + slot)) {
      const base = virtual - BigInt(physical);
      if (base % GiB === 0n && base >= half) yield base;
      break;
    }
  }
}

/** Bytes mapped one to one from `base` on that are in memory; undefined if some stretch is in part. */
function measure(tables: PageTables, base: bigint): number | undefined {
  const { regions } = tables.memory;
  const last = regions.at(-1);
  const top = last === undefined ? 0 : last.guestAddress + last.size;
  let bytes = 0;
  let extents = 0;
  for (const { virtual, physical, length } of tables.extents(base, kernelStart)) {
    if (virtual - BigInt(physical) !== base || ++extents > mostExtents) break;
    // Memory that was plugged in later lies above all that is known, and is of no use to us.
    if (physical >= top) continue;
    if (!isInside(regions, physical, length)) return undefined;
    bytes += length;
  }
  return bytes === 0 ? undefined : bytes;
}

function isInside(regions: readonly MemoryRegion[], physical: number, length: number): boolean {
  return regions.some(
    ({ guestAddress, size }) =>
      physical >= guestAddress && physical + length <= guestAddress + size,
  );
}
