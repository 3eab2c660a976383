import { Refusal } from '../refusal.js';
import { findExportedSymbols } from './export-table.js';
import { checkVersion, identifyKernel, KernelMap, readKernelImage } from './kernel-image.js';
import type { PhysicalMemory } from './memory/physical-memory.js';
import { PageTables, type PagingRegisters } from './page-tables.js';
import { SymbolCache, type FoundKernel, type KnownKernel } from './symbol-cache.js';

export { defaultCacheDirectory } from './symbol-cache.js';
export { PageTables, type Extent, type PagingRegisters, type Translation } from './page-tables.js';
export { findUnusedText, isUnusedText, type UnusedText } from './unused-text.js';
export type { MemoryRegion, PhysicalMemory } from './memory/physical-memory.js';

/** A Linux kernel that runs in a guest. */
export interface GuestKernel {
  /** As `uname -r` in the guest tells it. */
  version: string;
  /** In hexadecimal; undefined where the kernel has none. */
  buildId: string | undefined;
  /** What it exports to modules, at the addresses of this boot. */
  symbols: Map<string, bigint>;
  /** Virtual address of its first byte (_text). */
  textStart: bigint;
  pageTables: PageTables;
  /** Whether the symbols came from the cache (and were compared with the guest). */
  cached: boolean;
}

export interface FindKernelOptions {
  /** Where symbols are kept by build id (`defaultCacheDirectory()`); undefined for nowhere. */
  cacheDirectory?: string | undefined;
}

/**
 * The kernel of a guest, from its memory and the registers of one of its processors. Refused where
 * that processor is not in 64-bit mode, or the guest runs no Linux from 5.4 on.
 */
export function findKernel(
  memory: PhysicalMemory,
  registers: PagingRegisters,
  { cacheDirectory }: FindKernelOptions = {},
): GuestKernel {
  const cache = cacheDirectory === undefined ? undefined : new SymbolCache(cacheDirectory);
  let old: Refusal | undefined;
  for (const pageTables of PageTables.candidates(memory, registers)) {
    try {
      const map = KernelMap.of(pageTables);
      if (map === undefined) continue;
      const known = cache?.find(map);
      if (known) return result(known, pageTables, true);
      const found = scan(map);
      if (found === undefined) continue;
      cache?.store(found);
      const symbols = new Map(found.symbols.map(({ name, address }) => [name, address]));
      return result({ ...found, symbols }, pageTables, false);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      old ??= error;
    }
  }
  throw (
    old ??
    new Refusal('no-linux', 'no Linux kernel was found in the guest', {
      hint: 'it may run another system, or be still booting',
    })
  );
}

/** The kernel by a look at all its memory. */
function scan(map: KernelMap): FoundKernel | undefined {
  const image = readKernelImage(map);
  const identity = identifyKernel(image);
  if (identity === undefined) return undefined;
  checkVersion(identity.version);
  return { ...identity, textStart: image.start, symbols: [...findExportedSymbols(image).values()] };
}

function result(kernel: KnownKernel, pageTables: PageTables, cached: boolean): GuestKernel {
  const { version, buildId, textStart, symbols } = kernel;
  return { version, buildId, symbols, textStart, pageTables, cached };
}

/** Those of `names` that `kernel` does not export. */
export function absentSymbols(kernel: GuestKernel, names: Iterable<string>): string[] {
  return [...names].filter((name) => !kernel.symbols.has(name));
}

/** Whether the kernel's text or data has `text`, a whole string of C. */
export function kernelHasText({ pageTables }: GuestKernel, text: string): boolean {
  const map = KernelMap.of(pageTables);
  if (map === undefined) return false;
  const { bytes } = readKernelImage(map);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(
    `${text}\0`,
    0,
    'latin1',
  );
}
