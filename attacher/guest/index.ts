import { Refusal } from '../refusal.js';
import { findExportedSymbols } from './export-table.js';
import { checkVersion, identifyKernel, KernelMap, readKernelImage } from './kernel-image.js';
import { kernelTables, type KernelTables } from './kernel-tables.js';
import type { PhysicalMemory } from './memory/physical-memory.js';
import type { PageTables, PagingRegisters } from './page-tables.js';
import { SymbolCache, type KnownKernel } from './symbol-cache.js';

export { defaultCacheDirectory } from './symbol-cache.js';
export { kernelTables } from './kernel-tables.js';
export {
  PageTables,
  sharedHalf,
  type Extent,
  type PagingRegisters,
  type Translation,
} from './page-tables.js';
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
  /** Of the last 512 GiB of the address space: those that every processor in the kernel uses. */
  pageTables: PageTables;
  /** Of all page tables. */
  pagingLevels: PageTables['levels'];
  /** Whether the symbols came from the cache (and were compared with the guest). */
  cached: boolean;
}

export interface FindKernelOptions {
  /** Where symbols are kept by build id (`defaultCacheDirectory()`); undefined for nowhere. */
  cacheDirectory?: string | undefined;
}

/**
 * The kernel of a guest, from its memory and the registers of one of its processors. Refused where
 * that processor is not in 64-bit mode, or the guest runs no Linux from 5.4 on ("no-linux": also where the
 * registers are outdated).
 */
export function findKernel(
  memory: PhysicalMemory,
  registers: PagingRegisters,
  { cacheDirectory }: FindKernelOptions = {},
): GuestKernel {
  const found = kernelTables(memory, registers);
  if (found === undefined) throw noLinux();
  return identify(
    found,
    cacheDirectory === undefined ? undefined : new SymbolCache(cacheDirectory),
  );
}

/** Whether this is what comes of registers whose page tables are no longer there; of a guest without Linux, too. */
export function isOutdated(error: unknown): boolean {
  return error instanceof Refusal && ['no-linux', 'page-tables'].includes(error.reason);
}

/** How often a processor is looked at: the process whose page tables it used may have ended since. */
const looks = 5;

/** The same, by what `look` tells of a processor, more than once if need be. */
export function findRunningKernel(
  memory: PhysicalMemory,
  look: () => PagingRegisters,
  options: FindKernelOptions,
): { kernel: GuestKernel; registers: PagingRegisters } {
  for (let n = 1; ; n++) {
    const registers = look();
    try {
      return { kernel: findKernel(memory, registers, options), registers };
    } catch (error) {
      if (!isOutdated(error) || n === looks) throw error;
    }
  }
}

function identify({ tables, map, levels }: KernelTables, cache?: SymbolCache): GuestKernel {
  const known = cache?.find(map);
  const { version, buildId, textStart, symbols } = known ?? scan(map, cache);
  return {
    ...{ version, buildId, textStart, symbols, cached: known !== undefined },
    ...{ pageTables: tables, pagingLevels: levels },
  };
}

/** The kernel by a look at all its memory; it is kept. */
function scan(map: KernelMap, cache?: SymbolCache): KnownKernel {
  const image = readKernelImage(map);
  const identity = identifyKernel(image);
  if (identity === undefined) throw noLinux();
  checkVersion(identity.version);
  const symbols = [...findExportedSymbols(image).values()];
  const found = { ...identity, textStart: image.start };
  cache?.store({ ...found, symbols });
  return { ...found, symbols: new Map(symbols.map(({ name, address }) => [name, address])) };
}

function noLinux(): Refusal {
  return new Refusal('no-linux', 'no Linux kernel was found in the guest', {
    hint: 'it may run another system, or be still booting',
  });
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
