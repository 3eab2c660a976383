import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { readEntry, writeEntry } from './address-space.js';
import { pageSize, type ArenaPlace } from './arena.js';
import type { ArenaFile } from './arena-file.js';
import { isAnyoneInside } from './enter-stage.js';
import { arenaFiles, eventMark, mappedAt, markedEvents } from './hypervisor-files.js';
import type { StoppedThread } from './inject/stopped-thread.js';
import type { AttachRecord } from './journal.js';
import { closeIn, unmapIn } from './system-calls.js';
import type { HijackTarget } from './target.js';
import { withdraw } from './withdraw.js';

/** Whether the page-table entry at `address` maps this record's arena, whatever else is set in it. */
export function isOurs(
  target: HijackTarget,
  record: Pick<AttachRecord, 'guestAddress'>,
  address: number,
): boolean {
  const entry = readEntry(target.memory, address);
  const addressBits = 0x000f_ffff_ffff_f000n;
  return entry !== undefined && (entry & addressBits) === BigInt(record.guestAddress);
}

/** Where a record's arena is for the guest. */
export function placeOf({ guestAddress, virtualAddress }: AttachRecord): ArenaPlace {
  return { guestAddress, virtualAddress: BigInt(`0x${virtualAddress}`) };
}

/**
 * Take an arena out of guest and hypervisor, however far it had come in. Throws DebloatError where a
 * processor does not leave it.
 */
export async function takeArenaOut(
  target: HijackTarget,
  { file, record }: { file: ArenaFile; record: AttachRecord },
  onStep: (step: string) => void,
): Promise<void> {
  const place = placeOf(record);
  if (record.entryAddress !== undefined) {
    const end = place.virtualAddress + BigInt(record.ramPages * pageSize);
    if (await isAnyoneInside(target, place.virtualAddress, end)) {
      await sleep(50);
      if (await isAnyoneInside(target, place.virtualAddress, end)) throw silent('did not end');
    }
    onStep('clear the page-table entry');
    // The guest may have been started anew meanwhile.
    if (isOurs(target, record, record.entryAddress)) {
      writeEntry(target.memory, record.entryAddress, 0n);
    }
  }
  const named = findByName(target.pid, record.id);
  await target.whileStopped((thread) => withdraw(target, thread, { file, record }, onStep));
  // The gate is in what goes now.
  target.gate = undefined;
  await target.whileStopped((thread) => {
    closeNamed(thread, named, file.bytes.length, onStep);
  });
}

/** What is known by name alone: events that carry the mark, the mapping, the file. */
interface Named {
  events: number[];
  /** 0: not mapped. */
  address: number;
  files: number[];
}

/** Looked for while nothing is stopped. */
function findByName(pid: number, id: string): Named {
  return {
    events: markedEvents(pid, eventMark(id)),
    address: mappedAt(pid, id),
    files: arenaFiles(pid).flatMap((each) => (each.id === id ? each.fd : [])),
  };
}

function closeNamed(
  thread: StoppedThread,
  { events, address, files }: Named,
  size: number,
  onStep: (step: string) => void,
): void {
  for (const fd of events) {
    onStep(`close the event ${fd}`);
    closeIn(thread, fd);
  }
  if (address !== 0) {
    onStep('unmap the shared memory');
    unmapIn(thread, address, size);
  }
  for (const fd of files) {
    onStep('close the shared memory');
    closeIn(thread, fd);
  }
}

/** Close an arena that nothing was noted in yet. */
export async function closeArena(
  target: HijackTarget,
  id: string,
  size: number,
  onStep: (step: string) => void,
): Promise<void> {
  const named = findByName(target.pid, id);
  await target.whileStopped((thread) => closeNamed(thread, named, size, onStep));
}

/** For a guest that does not do what it was asked to. */
export function silent(what: string): DebloatError {
  return new DebloatError(`The guest ${what} what it was asked to do.`, {
    hint: 'it is stopped, crashed or very busy; `debloat doctor --fix` cleans up when it runs again',
  });
}
