import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DebloatError } from '../../analyzer/errors.js';
import { sessionProgramPath } from '../../native/guest-stage.js';
import { mappedArena } from '../guest/arena-memory.js';
import { markBytes } from '../guest/byte-ring.js';
import type { ModuleFile } from '../guest/session-frames.js';
import { layoutSession, type SessionPages } from '../guest/session-pages.js';
import { Command } from '../guest/stage-steps.js';
import { imageAddress } from '../hijack/arena.js';
import type { AttachPlan } from '../hijack/index.js';
import type { Attachment } from '../hijack/attachment.js';
import { GuestChannel } from './guest-channel.js';
import { loadModules } from './load-modules.js';
import { polledChannel } from './polled-channel.js';
import { writeSession } from './stage-session.js';

/** Bytes of each ring; the arena is of our own making, so there is room. */
const ringSize = 65536;

/** Stage 2, and the pages that a plan must have for it. */
export interface Stage2 {
  program: Uint8Array;
  pages: SessionPages;
}

export function readStage2(): Stage2 {
  const path = sessionProgramPath();
  if (path === undefined) throw new DebloatError('Stage 2 is missing: npm run build.');
  const program = readFileSync(path);
  return { program, pages: layoutSession(program.length, ringSize) };
}

/** Have the guest start stage 2, its rings behind the stage's image. */
export async function startStage2(
  attachment: Attachment,
  plan: AttachPlan,
  { program, pages }: Stage2,
): Promise<GuestChannel> {
  const { file, record, control } = attachment;
  const { layout, stage } = plan;
  const memory = mappedArena(file.bytes);
  const at = layout.image + stage.image.length;
  const place = {
    guestAddress: record.guestAddress,
    virtualAddress: BigInt(`0x${record.virtualAddress}`),
  };
  const address = imageAddress(place) + BigInt(stage.image.length);
  const channel = new GuestChannel(memory, at, pages, randomBytes(markBytes));
  channel.reset();
  control.setSession(writeSession(memory, at, pages, address, program));
  await attachment.command(Command.startSession);
  return channel;
}

/** Have a stage 2 load `modules` into the guest's kernel, and end. Throws DebloatError where it does not. */
export async function loadByStage2(
  attachment: Attachment,
  plan: AttachPlan,
  stage2: Stage2,
  modules: readonly ModuleFile[],
): Promise<void> {
  const rings = await startStage2(attachment, plan, stage2);
  try {
    await loadModules(
      polledChannel(rings, () => attachment.hangs),
      modules,
    );
  } finally {
    await attachment.command(Command.endSession);
  }
}
