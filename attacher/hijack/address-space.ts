import { randomInt } from 'node:crypto';
import { DebloatError } from '../../analyzer/errors.js';
import {
  PageTables,
  sharedHalf,
  type PagingRegisters,
  type PhysicalMemory,
} from '../guest/index.js';

const tableSpan = 1n << 30n;
/** Entries from here on are the kernel's own: EFI's mappings, the processors' areas, text and modules. */
const firstTaken = 400;

/** A free entry in the kernel's page tables. */
export interface FreeEntry {
  /** Guest-physical address of the entry. */
  address: number;
  /** What it would map: 1 GiB from here on. */
  virtualAddress: bigint;
}

/**
 * A free 1-GiB entry of the kernel's shared table, the first or any, where an arena can be hung in
 * (Documentation/arch/x86/x86_64/mm.rst). Throws DebloatError if there is none.
 */
export function findFreeEntry(
  memory: PhysicalMemory,
  tables: PageTables,
  which: 'first' | 'any' = 'first',
): FreeEntry {
  const table = tables.tableOf(sharedHalf, 3);
  const bytes = table === undefined ? undefined : memory.read(table, 4096);
  if (table !== undefined && bytes !== undefined) {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const from = which === 'first' ? 0 : randomInt(firstTaken);
    for (let n = 0; n < firstTaken; n++) {
      const index = (from + n) % firstTaken;
      if (view.getBigUint64(index * 8, true) !== 0n) continue;
      return { address: table + index * 8, virtualAddress: sharedHalf + BigInt(index) * tableSpan };
    }
  }
  throw new DebloatError('The guest’s kernel has no free entry in its page tables.', {
    hint: 'its layout is unknown to us, or many sessions are open: debloat sessions',
  });
}

/** Whether a processor with these registers translates by the table that has the entry at `address`. */
export function sharesTable(
  memory: PhysicalMemory,
  registers: PagingRegisters,
  address: number,
): boolean {
  const table = PageTables.of(memory, registers).tableOf(sharedHalf, 3);
  return table !== undefined && table === address - (address % 4096);
}

/** The same, also where the processor is in user mode and the kernel keeps other tables for that. */
export function knowsTable(
  memory: PhysicalMemory,
  registers: PagingRegisters,
  address: number,
): boolean {
  const start = address - (address % 4096);
  const all = [...PageTables.candidates(memory, registers)];
  return all.some((tables) => tables.tableOf(sharedHalf, 3) === start);
}

/** Set the entry, or clear it. False if it is no longer in guest memory. */
export function writeEntry(memory: PhysicalMemory, address: number, value: bigint): boolean {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return memory.write(address, bytes);
}

/** The entry as it is; undefined if it is not in guest memory. */
export function readEntry(memory: PhysicalMemory, address: number): bigint | undefined {
  const bytes = memory.read(address, 8);
  return bytes && new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}
