import type { SessionPages } from '../guest/session-pages.js';
import { exclusively } from '../hijack/exclusive.js';
import type { MonitorAddress } from '../qmp/monitor.js';
import { draftBlock, hangIn, type FillSession } from './block.js';
import { findGuest } from './guest.js';
import { writeRecord, type GdbRecord } from './journal.js';
import { planStage, readStageFiles } from './plan.js';
import { takeOutOfGuest } from './recover.js';
import { rehearseSending } from './rehearsal.js';
import { GdbStage } from './stage.js';

export interface EnterOptions {
  monitor: MonitorAddress;
  cacheDirectory: string | undefined;
  /** What the record says before anything is in the guest. */
  record: GdbRecord;
  fill: FillSession;
}

/** Times in milliseconds. */
export interface EnterTimes {
  /** From the first look at the guest until all was there. */
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
 * Put stage 1 into a guest, send a processor there through its gdb stub, and have it start a session. All
 * of it is out again where this fails, as far as the guest can still be reached; else the record says where.
 */
export async function enterGuest(options: EnterOptions): Promise<Entered> {
  const begun = performance.now();
  const { monitor, record, fill } = options;
  const { pid } = record.machine;
  const files = readStageFiles();
  const guest = await findGuest(pid, monitor, options);
  const { memory, schedule } = guest;
  let placed: GdbRecord | undefined;
  try {
    // Nobody else of ours chooses the same place.
    const { stage, layout, sequence } = await exclusively(pid, async () => {
      const plan = planStage(guest, files);
      const draft = draftBlock(guest, plan, files, fill);
      const noted = { ...record, schedule: schedule.toString(16), block: draft.block };
      writeRecord((placed = noted));
      hangIn(memory, draft);
      const stage = new GdbStage(memory, noted);
      return Promise.resolve({ stage, layout: plan.layout, sequence: draft.sequence });
    });
    await rehearseSending(await stage.look(), stage.entrance);
    const ready = performance.now();
    await stage.send();
    await stage.outcome(sequence);
    const times = { prepare: ready - begun, guest: performance.now() - ready };
    return { stage, start: layout.session, pages: layout.pages, times };
  } catch (error) {
    memory.close();
    if (placed) {
      await takeOutOfGuest(placed).then(
        () => writeRecord(record),
        () => undefined, // it is noted
      );
    }
    throw error;
  }
}
