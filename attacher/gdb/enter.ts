import { DebloatError } from '../../analyzer/errors.js';
import { arenaIn } from '../guest/arena-memory.js';
import { PageTables } from '../guest/index.js';
import type { SessionPages } from '../guest/session-pages.js';
import { Command } from '../guest/stage-steps.js';
import { rootEntry, writePageTables } from '../hijack/arena.js';
import { writeEntry } from '../hijack/address-space.js';
import { throughDoor } from './door.js';
import type { StubDoor } from './stub-door.js';
import { findGuest, type GdbGuest } from './guest.js';
import { Journal, type GdbRecord } from './journal.js';
import { blockLayouts, placeStage, readStageFiles, type BlockLayout } from './plan.js';
import { SafePoint } from './safe-point.js';
import { GdbStage, physicalOf, type PlacedRecord } from './stage.js';
import { pagingRegisters } from './stub.js';

/** GFP_ATOMIC | __GFP_ZERO without IO and FS (include/linux/gfp_types.h): it may not sleep here. */
const GFP = 0x920n;
const EFER_NXE = 0x800n;

export interface EnterOptions {
  pid: number;
  door: StubDoor;
  cacheDirectory: string | undefined;
  /** What the record says before anything is in the guest. */
  identity: Pick<GdbRecord, 'id' | 'owner' | 'machine' | 'image' | 'disk'>;
  /** Fills the session's pages at `start` of the block, which are at `address` for the kernel. */
  prepare: (stage: GdbStage, start: number, address: bigint, contents: Contents) => void;
}

/** Stage 2, and where its parts go. */
export interface Contents {
  pages: SessionPages;
  program: Uint8Array;
}

/** Times in milliseconds. */
export interface EnterTimes {
  /** From the first look at the guest until all was ready to be put there. */
  prepare: number;
  /** Until the guest had started the session. */
  guest: number;
}

/**
 * Put stage 1 into a guest through its gdb stub, and have it start a session. All of it is out again
 * where this fails, as far as the guest can still be reached.
 */
export async function enterGuest(
  options: EnterOptions,
): Promise<{ stage: GdbStage; times: EnterTimes }> {
  const begun = performance.now();
  const files = readStageFiles();
  let ready = begun;
  const { result, held } = await throughDoor(options.pid, options.door, async (stub) => {
    const guest = await findGuest(options.pid, stub, options);
    const registers = pagingRegisters(await stub.registers());
    const guess = placeStage(guest, registers, files);
    const record = recordOf(options, guest);
    const journal = new Journal(record);
    ready = performance.now();
    return SafePoint.with(stub, guest.functions, journal, async (point) => {
      const here = pagingRegisters(point.registers);
      const placed = placeStage(guest, here, files, guess);
      const { image, entry } = placed;
      const { block, layout } = await allocate(
        point,
        guest,
        blockLayouts(image.image.length, files.program.length),
      );
      const hung = {
        entryAddress: entry.address,
        virtualAddress: entry.virtualAddress.toString(16),
      };
      const whole: PlacedRecord = {
        ...{ ...record, block, hung },
        control: layout.image + Number(image.entry('stage1_control') - image.base),
        enqueue: image.entry('stage1_enqueue').toString(16),
      };
      // From here on the pages are the record's, no longer what a call gave.
      journal.note({ ...whole, point: point.noted });
      const arena = arenaIn(guest.memory, block.physical, block.size);
      const place = { guestAddress: block.physical, virtualAddress: entry.virtualAddress };
      const segments = [...image.segments, ...layout.segments];
      writePageTables(arena.bytes, { ram: 0 }, place, segments, (here.efer & EFER_NXE) !== 0n);
      arena.bytes.set(image.image, layout.image);
      arena.push(0, layout.session);
      const stage = new GdbStage(guest.memory, whole, journal, arena);
      const address = entry.virtualAddress + BigInt(layout.session);
      const { program } = files;
      options.prepare(stage, layout.session, address, { pages: layout.pages, program });
      if (!writeEntry(guest.memory, entry.address, rootEntry(place))) {
        throw new DebloatError('The guest’s page tables are no longer where they were.');
      }
      const sequence = await stage.enqueue(point, Command.startSession);
      return { stage, sequence };
    });
  });
  const { stage, sequence } = result;
  stage.held += held;
  try {
    await stage.outcome(sequence);
  } catch (error) {
    if (stage.control.idle) await stage.takeOut();
    throw error;
  }
  return { stage, times: { prepare: ready - begun, guest: performance.now() - ready } };
}

function recordOf({ identity, door }: EnterOptions, { functions }: GdbGuest): GdbRecord {
  return {
    ...{ version: 1, ...identity, door, control: 0, enqueue: '0' },
    functions: {
      schedule: functions.schedule.toString(16),
      panic: functions.panic.toString(16),
      allocatePages: functions.allocatePages.toString(16),
      freePages: functions.freePages.toString(16),
    },
  };
}

/** Pages of the guest's own, one block of them. */
async function allocate(
  point: SafePoint,
  { memory, functions }: GdbGuest,
  layouts: BlockLayout[],
): Promise<{ block: PlacedRecord['block']; layout: BlockLayout }> {
  for (const layout of layouts) {
    const { order, size } = layout;
    const virtual = await point.call(functions.allocatePages, [GFP, BigInt(order)]);
    if (virtual === 0n) continue;
    const tables = PageTables.of(memory, pagingRegisters(point.registers));
    const physical = physicalOf(memory, tables, virtual);
    return { block: { virtual: virtual.toString(16), physical, order, size }, layout };
  }
  throw new DebloatError('The guest’s kernel has no memory for a session.', {
    hint: 'less than 256 KB in one piece are free there',
  });
}
