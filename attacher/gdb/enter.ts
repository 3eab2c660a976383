import { DebloatError } from '../../analyzer/errors.js';
import { mappedArena, type ArenaMemory } from '../guest/arena-memory.js';
import { PageTables, type PagingRegisters } from '../guest/index.js';
import type { SessionPages } from '../guest/session-pages.js';
import { controlSize, StageControl } from '../guest/stage-control.js';
import { Command } from '../guest/stage-steps.js';
import { rootEntry, writePageTables, type ArenaPlace } from '../hijack/arena.js';
import { writeEntry } from '../hijack/address-space.js';
import { throughDoor } from './door.js';
import type { StubDoor } from './stub-door.js';
import { findGuest, type GdbGuest } from './guest.js';
import { Journal, type GdbRecord } from './journal.js';
import {
  blockLayouts,
  placeStage,
  readStageFiles,
  type BlockLayout,
  type PlacedStage,
  type StageFiles,
} from './plan.js';
import { rehearse } from './rehearsal.js';
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
  /** Fills the session's pages at `start` of a block to be, which will be at `address` for the kernel. */
  prepare: (
    block: { memory: ArenaMemory; control: StageControl },
    start: number,
    address: bigint,
    contents: Contents,
  ) => void;
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

/** A session that was started: its pages are at `start` of the stage's block. */
export interface Entered {
  stage: GdbStage;
  start: number;
  pages: SessionPages;
  times: EnterTimes;
}

/**
 * Put stage 1 into a guest through its gdb stub, and have it start a session. All of it is out again
 * where this fails, as far as the guest can still be reached.
 */
export async function enterGuest(options: EnterOptions): Promise<Entered> {
  const begun = performance.now();
  const files = readStageFiles();
  let ready = begun;
  const { result, held } = await throughDoor(options.pid, options.door, async (stub) => {
    const guest = await findGuest(options.pid, stub, options);
    const journal = new Journal(recordOf(options, guest));
    const making = { guest, files, prepare: options.prepare };
    const guess = guessPlace(making);
    await rehearse(guest.registers, guest.functions, journal.record);
    ready = performance.now();
    const placed = await SafePoint.with(stub, guest.functions, journal, (point) =>
      enterAt(point, making, guess),
    );
    return { ...placed, memory: guest.memory, journal };
  });
  const { memory, journal, record, sequence, layout } = result;
  const stage = new GdbStage(memory, record, journal);
  stage.held += held;
  try {
    await stage.outcome(sequence);
  } catch (error) {
    if (stage.control.idle) await stage.takeOut();
    throw error;
  }
  return {
    ...{ stage, start: layout.session, pages: layout.pages },
    times: { prepare: ready - begun, guest: performance.now() - ready },
  };
}

/** What a block is filled with. */
interface Making {
  guest: GdbGuest;
  files: StageFiles;
  prepare: EnterOptions['prepare'];
}

/** A block in memory of our own, as it will be in the guest but for its page tables. */
interface Draft {
  placed: PlacedStage;
  layout: BlockLayout;
  bytes: Uint8Array;
  control: StageControl;
  /** Its offset. */
  controlAt: number;
  /** Of the command to start the session, which has been given. */
  sequence: number;
}

/** The draft as it will most likely be needed: nothing is to be made then while the machine stands. */
function guessPlace(making: Making): Draft | undefined {
  const { guest, files } = making;
  const here = pagingRegisters(guest.registers);
  try {
    const placed = placeStage(guest, here, files);
    const [layout] = blockLayouts(placed.image.image.length, files.program.length);
    if (layout === undefined) return undefined;
    const drawn = draft(making, placed, layout);
    writeTables(drawn, 0, here);
    return drawn;
  } catch (error) {
    // A process whose page tables were used may have ended.
    if (error instanceof DebloatError) return undefined;
    throw error;
  }
}

/** Have pages allocated, fill them, hang them in and begin. */
async function enterAt(
  point: SafePoint,
  making: Making,
  guess: Draft | undefined,
): Promise<{ record: PlacedRecord; sequence: number; layout: BlockLayout }> {
  const { guest, files } = making;
  const here = pagingRegisters(point.registers);
  const placed = placeStage(guest, here, files, guess?.placed);
  const layouts = blockLayouts(placed.image.image.length, files.program.length);
  // Until the next call is noted, the pages are what this one gave.
  const { block, layout } = await allocate(point, guest, layouts);
  const fits = guess?.placed === placed && guess.layout.size === layout.size;
  const drawn = fits ? guess : draft(making, placed, layout);
  const place = writeTables(drawn, block.physical, here);
  drawn.control.setResume(guest.functions.schedule, point.registers.get('eflags') ?? 0n);
  if (!guest.memory.write(block.physical, drawn.bytes)) {
    throw new DebloatError('The guest’s kernel gave memory that its hypervisor does not have.');
  }
  const { entry, image } = placed;
  const { controlAt: control, sequence } = drawn;
  const hung = {
    entryAddress: entry.address,
    virtualAddress: entry.virtualAddress.toString(16),
  };
  const enqueue = image.entry('stage1_enqueue').toString(16);
  const changes = { block, hung, control, enqueue };
  await point.leaveInto(image.entry('stage1_interrupted'), {
    changes,
    prepare: () => {
      if (!writeEntry(guest.memory, entry.address, rootEntry(place))) {
        throw new DebloatError('The guest’s page tables are no longer where they were.');
      }
    },
  });
  return { record: { ...point.journal.record, ...changes }, sequence, layout };
}

function draft({ files, prepare }: Making, placed: PlacedStage, layout: BlockLayout): Draft {
  const { image, entry } = placed;
  const bytes = new Uint8Array(layout.size);
  bytes.set(image.image, layout.image);
  const at = layout.image + Number(image.entry('stage1_control') - image.base);
  const control = new StageControl(bytes.subarray(at, at + controlSize));
  const address = entry.virtualAddress + BigInt(layout.session);
  const contents = { pages: layout.pages, program: files.program };
  prepare({ memory: mappedArena(bytes), control }, layout.session, address, contents);
  const sequence = control.begin(Command.startSession);
  return { placed, layout, bytes, control, controlAt: at, sequence };
}

/** Write the page tables of a block at this physical address. */
function writeTables(
  { placed: { image, entry }, layout, bytes }: Draft,
  physical: number,
  { efer }: PagingRegisters,
): ArenaPlace {
  const place = { guestAddress: physical, virtualAddress: entry.virtualAddress };
  const segments = [...image.segments, ...layout.segments];
  writePageTables(bytes, { ram: 0 }, place, segments, (efer & EFER_NXE) !== 0n);
  return place;
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
