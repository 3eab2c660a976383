import { DebloatError } from '../../analyzer/errors.js';
import { mappedArena, type ArenaMemory } from '../guest/arena-memory.js';
import { isUnusedText, PageTables, type PagingRegisters } from '../guest/index.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import type { SessionPages } from '../guest/session-pages.js';
import { controlSize, StageControl } from '../guest/stage-control.js';
import { Command } from '../guest/stage-steps.js';
import { readEntry, writeEntry } from '../hijack/address-space.js';
import { pageSize, rootEntry, writeAlias, writePageTables } from '../hijack/arena.js';
import { Refusal } from '../refusal.js';
import type { GdbGuest } from './guest.js';
import { hex, type GdbRecord } from './journal.js';
import type { Plan, StageFiles } from './plan.js';

const addressBits = 0x000f_ffff_ffff_f000n;

/** Where a block is, as noted. */
export type NotedBlock = NonNullable<GdbRecord['block']>;

/** Stage 2, and where its parts go. */
export interface Contents {
  pages: SessionPages;
  program: Uint8Array;
}

/**
 * Fills the session's pages at `start` of a block to be, which will be at `address` for the kernel.
 */
export type FillSession = (
  block: { memory: ArenaMemory; control: StageControl },
  start: number,
  address: bigint,
  contents: Contents,
) => void;

/** A block as it will be in the guest, with the command to start the session given. */
export interface Draft {
  block: NotedBlock;
  bytes: Uint8Array;
  sequence: number;
}

export function draftBlock(
  { noExecute }: GdbGuest,
  { text, entry, image, layout, code }: Plan,
  { program }: StageFiles,
  fill: FillSession,
): Draft {
  const bytes = new Uint8Array(layout.size);
  bytes.set(image.image, layout.image);
  const at = layout.image + Number(image.entry('stage1_control') - image.base);
  const control = new StageControl(bytes.subarray(at, at + controlSize));
  const address = entry.virtualAddress + BigInt(layout.session);
  fill({ memory: mappedArena(bytes), control }, layout.session, address, {
    pages: layout.pages,
    program,
  });
  const place = { guestAddress: text.physical, virtualAddress: entry.virtualAddress };
  writePageTables(bytes, { ram: 0 }, place, layout.segments, noExecute);
  control.setCode({
    address: writeAlias(bytes, place, code, layout.size, noExecute),
    ...{ size: code.size, byte: text.filler },
  });
  const sequence = control.begin(Command.startSession);
  const block = {
    ...{ text: text.virtual.toString(16), physical: text.physical, filler: text.filler },
    ...{ size: layout.size, entryAddress: entry.address },
    ...{ virtual: entry.virtualAddress.toString(16), control: at },
    code: { offset: layout.image + code.offset, size: code.size },
    entrance: image.entry('stage1_interrupted').toString(16),
  };
  return { block, bytes, sequence };
}

/** Write a block to its place, and make it a part of the kernel's address space: no processor uses either yet. */
export function hangIn(memory: ProcessMemory, { block, bytes }: Draft): void {
  const { physical, virtual, entryAddress } = block;
  const root = rootEntry({ guestAddress: physical, virtualAddress: hex(virtual) });
  if (!memory.write(physical, bytes) || !writeEntry(memory, entryAddress, root)) {
    throw new DebloatError('The guest’s memory can no longer be reached.');
  }
}

/** Take a block out whose code nobody executes: what was in its place is there again. */
export function takeBack(memory: ProcessMemory, block: NotedBlock): void {
  if (isHung(memory, block)) writeEntry(memory, block.entryAddress, 0n);
  memory.write(block.physical, new Uint8Array(block.size).fill(block.filler));
}

/** Whether the block is part of the kernel's address space, as memory has it; see `isMapped`. */
export function isHung(memory: ProcessMemory, { physical, entryAddress }: NotedBlock): boolean {
  const pointsTo = (place: number, table: number) => {
    const entry = readEntry(memory, place);
    return entry !== undefined && (entry & addressBits) === BigInt(table);
  };
  // The second is the block's own first word, which a later kernel has most likely used.
  return pointsTo(entryAddress, physical) && pointsTo(physical, physical + pageSize);
}

/**
 * Whether the kernel that runs has the block in its address space, by its tables. Memory alone does not
 * tell: after a restart what an earlier kernel left there may stand for long.
 */
export function isMapped(tables: PageTables, { physical, virtual, control }: NotedBlock): boolean {
  return tables.translate(hex(virtual) + BigInt(control))?.physical === physical + control;
}

/** A processor's page tables that have the block, by its registers now, while it stands; undefined if none have. */
export function tablesWith(
  memory: ProcessMemory,
  paging: PagingRegisters,
  block: NotedBlock,
): PageTables | undefined {
  try {
    return [...PageTables.candidates(memory, paging)].find((tables) => isMapped(tables, block));
  } catch (error) {
    if (error instanceof Refusal) return undefined; // it is starting, in another mode
    throw error;
  }
}

/** Whether a block that is not hung in was, or will be, written to padding of the kernel that has these tables. */
export function isInPadding(
  tables: PageTables,
  { text, physical, filler, size }: NotedBlock,
): boolean {
  return isUnusedText(tables, { virtual: hex(text), physical, filler }, size);
}
