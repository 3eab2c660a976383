import { readFileSync } from 'node:fs';
import { DebloatError } from '../../analyzer/errors.js';
import { guestStagePath, sessionProgramPath } from '../../native/guest-stage.js';
import { findUnusedText, type UnusedText } from '../guest/index.js';
import type { Segment } from '../guest/linker/layout.js';
import { link, type LinkedImage } from '../guest/linker/link.js';
import { layoutSession, sessionSegment, type SessionPages } from '../guest/session-pages.js';
import { findFreeEntry, type FreeEntry } from '../hijack/address-space.js';
import { imageAddress, pageSize, tablePages } from '../hijack/arena.js';
import type { GdbGuest } from './guest.js';

/** Sizes of the terminal's rings, the best first: little room may be left. */
const ringSizes = [65536, 16384, 4096];

/** A block of guest memory and what goes where in it. */
export interface BlockLayout {
  /** Bytes in use. */
  size: number;
  /** Offsets in the block. */
  image: number;
  session: number;
  pages: SessionPages;
  segments: Segment[];
}

/** The stage linked for a place of the guest's, where nothing is written yet. */
export interface Plan {
  text: UnusedText;
  entry: FreeEntry;
  image: LinkedImage;
  layout: BlockLayout;
  /** Of the stage's image, its code. */
  code: Segment;
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

/** Find room for the stage, in the guest's memory and in its kernel's address space. */
export function planStage({ memory, kernel }: GdbGuest, files: StageFiles): Plan {
  const tables = kernel.pageTables;
  // Not where one was before: a processor may have kept a translation of that.
  const entry = findFreeEntry(memory, tables, 'any');
  const place = { guestAddress: 0, virtualAddress: entry.virtualAddress };
  const image = link(files.stage, imageAddress(place), kernel.symbols);
  const code = image.segments.find(({ executable }) => executable);
  if (code === undefined) throw new DebloatError('The guest stage has no code.');
  for (const layout of blockLayouts(image, files.program.length)) {
    const text = findUnusedText(tables, layout.size);
    if (text) return { text, entry, image, layout, code };
  }
  throw new DebloatError('The guest’s kernel has no room for a session.', {
    hint: 'kernels since 4.19 have some beside their entry code; many sessions may be open: debloat sessions',
  });
}

/** Layouts for this image and program, the best first. */
function blockLayouts({ image, segments }: LinkedImage, programSize: number): BlockLayout[] {
  return ringSizes.map((ringSize) => {
    const pages = layoutSession(programSize, ringSize);
    const start = tablePages * pageSize;
    const session = start + image.length;
    return {
      ...{ size: session + pages.size, image: start, session, pages },
      segments: [...segments, sessionSegment(image.length, pages)],
    };
  });
}
