import { readFileSync } from 'node:fs';
import { DebloatError } from '../../analyzer/errors.js';
import { guestStagePath, sessionProgramPath } from '../../native/guest-stage.js';
import { link, type LinkedImage } from '../guest/linker/link.js';
import { layoutSession, sessionSegment, type SessionPages } from '../guest/session-pages.js';
import { findFreeEntry, type FreeEntry } from '../hijack/address-space.js';
import { imageAddress, pageSize, tablePages } from '../hijack/arena.js';
import { PageTables, type PagingRegisters } from '../guest/index.js';
import type { Segment } from '../guest/linker/layout.js';
import type { GdbGuest } from './guest.js';

/** Sizes of the terminal's rings, the best first: a small guest may have no larger block free. */
const ringSizes = [65536, 16384, 4096];

/** The stage linked for one place in the guest's address space. */
export interface PlacedStage {
  entry: FreeEntry;
  image: LinkedImage;
}

/** A block of guest memory and what goes where in it. */
export interface BlockLayout {
  /** The block has 2^order pages. */
  order: number;
  /** Bytes in use. */
  size: number;
  /** Offsets in the block. */
  image: number;
  session: number;
  pages: SessionPages;
  segments: Segment[];
}

/** The files that travel into the guest. */
export interface StageFiles {
  stage: Uint8Array;
  program: Uint8Array;
}

export function readStageFiles(): StageFiles {
  const [stage, program] = [guestStagePath(), sessionProgramPath()];
  if (stage === undefined || program === undefined) {
    throw new DebloatError(
      'The guest stages are missing: they are built on x86-64 machines only.',
      {
        hint: 'npm run build, on an x86-64 machine',
      },
    );
  }
  return { stage: readFileSync(stage), program: readFileSync(program) };
}

/** Link the stage for the first free place that these registers' page tables have. */
export function placeStage(
  { memory, kernel }: GdbGuest,
  registers: PagingRegisters,
  { stage }: StageFiles,
  known?: PlacedStage,
): PlacedStage {
  const entry = findFreeEntry(memory, kernelTables(memory, registers));
  if (known?.entry.address === entry.address) return known;
  const place = { guestAddress: 0, virtualAddress: entry.virtualAddress };
  return { entry, image: link(stage, imageAddress(place), kernel.symbols) };
}

/** The last of the candidates: the kernel's own, where it keeps others for user mode. */
function kernelTables(memory: GdbGuest['memory'], registers: PagingRegisters): PageTables {
  const all = [...PageTables.candidates(memory, registers)];
  const tables = all.find((each) => each.tableOf(0xffff_ff80_0000_0000n, 3) !== undefined);
  return tables ?? PageTables.of(memory, registers);
}

/** Layouts for this image and program, the best first. */
export function blockLayouts(imageSize: number, programSize: number): BlockLayout[] {
  return ringSizes.map((ringSize) => {
    const pages = layoutSession(programSize, ringSize);
    const image = tablePages * pageSize;
    const session = image + imageSize;
    const size = session + pages.size;
    const order = Math.ceil(Math.log2(size / pageSize));
    return { order, size, image, session, pages, segments: [sessionSegment(imageSize, pages)] };
  });
}
