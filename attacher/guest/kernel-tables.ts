import { Refusal } from '../refusal.js';
import { KernelMap } from './kernel-image.js';
import type { PhysicalMemory } from './memory/physical-memory.js';
import { PageTables, sharedHalf, type PagingRegisters } from './page-tables.js';

/** How a kernel translates the addresses that all of its page tables share. */
export interface KernelTables {
  /** Of the last 512 GiB. */
  tables: PageTables;
  map: KernelMap;
  /** Of the page tables that led there. */
  levels: PageTables['levels'];
}

/**
 * The kernel's own table for the last 512 GiB of the address space, found by the registers of one of its
 * processors. A process whose page tables those name may end at any moment, and its tables become
 * something else; this one lies in the kernel's data (level3_kernel_pgt in arch/x86/kernel/head_64.S),
 * which is looked at: so it stays, and is what it seems. Undefined where the registers lead to none,
 * be it that they are outdated. Throws Refusal outside of 64-bit mode.
 */
export function kernelTables(
  memory: PhysicalMemory,
  registers: PagingRegisters,
): KernelTables | undefined {
  for (const { levels, tables } of sharedTables(memory, registers)) {
    const map = mapOf(tables);
    if (map?.holds(tables.root) === true) return { tables, map, levels };
  }
  return undefined;
}

function* sharedTables(memory: PhysicalMemory, registers: PagingRegisters) {
  for (const all of PageTables.candidates(memory, registers)) {
    const table = all.tableOf(sharedHalf, 3);
    if (table === undefined) continue;
    yield { levels: all.levels, tables: new PageTables(memory, table, 3) };
  }
}

function mapOf(tables: PageTables): KernelMap | undefined {
  try {
    return KernelMap.of(tables);
  } catch (error) {
    if (error instanceof Refusal) return undefined; // no kernel's
    throw error;
  }
}
