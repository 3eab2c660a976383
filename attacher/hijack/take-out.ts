import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { readEntry, writeEntry } from './address-space.js';
import { layoutOfPages, pageSize, type ArenaPlace } from './arena.js';
import type { ArenaFile } from './arena-file.js';
import { isInside } from './enter-stage.js';
import { VcpuCalls } from './kvm/vcpu-calls.js';
import { arenaFiles, eventMark, mappedAt, markedEvents } from './hypervisor-files.js';
import type { StoppedThread } from './inject/stopped-thread.js';
import type { AttachRecord } from './journal.js';
import { gateOf } from './resources.js';
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
  const named = findByName(target.pid, record.id);
  await whenLeft(target, record, (thread) => {
    thread.deputize();
    if (record.entryAddress !== undefined) {
      onStep('clear the page-table entry');
      // The guest may have been started anew meanwhile.
      if (isOurs(target, record, record.entryAddress)) {
        writeEntry(target.memory, record.entryAddress, 0n);
      }
    }
    withdraw(target, thread, { file, record }, onStep);
  });
  // The gate is in what goes now.
  await untilDeserted(file, record);
  await target.whileDeserted((thread) => {
    closeNamed(thread, named, file.bytes.length, onStep);
  });
}

/** Resolves when no thread of ours is at the gate: that of a session that was killed waits there for a while. */
async function untilDeserted(file: ArenaFile, record: AttachRecord): Promise<void> {
  const gate = gateOf(file, record.userAddress, layoutOfPages(record.ramPages));
  const end = performance.now() + patience;
  while (gate.hasDeputy) {
    gate.close();
    if (performance.now() > end) {
      throw new DebloatError('A system call in the hypervisor does not end.', {
        hint: '`debloat doctor --fix` cleans up when it has ended',
      });
    }
    await sleep(5);
  }
}

/** How long processors may take to leave the arena, in milliseconds. */
const patience = 15_000;

/**
 * Do something by a thread of one processor, when none is in the arena any more: the one that stands is
 * looked at in the same stop. Throws DebloatError where one does not leave, or does not run.
 */
async function whenLeft(
  target: HijackTarget,
  record: AttachRecord,
  act: (thread: StoppedThread) => void,
): Promise<void> {
  const [one, ...others] = target.vcpus;
  // It was never hung in: nobody can be there.
  if (record.entryAddress === undefined || one === undefined) return target.whileStopped(act);
  const start = placeOf(record).virtualAddress;
  const end = start + BigInt(record.ramPages * pageSize);
  const limit = performance.now() + patience;
  for (const vcpu of others) {
    while (await isInside(target, vcpu, start, end)) {
      if (performance.now() > limit) throw silent('did not end');
      await sleep(20);
    }
  }
  for (;;) {
    const done = target.tryStopped(one, (thread) => {
      const rip = new VcpuCalls(thread, one.fd).rip();
      if (rip >= start && rip < end) return false;
      act(thread);
      return true;
    });
    if (done?.result === true) return;
    if (performance.now() > limit) throw silent('did not end');
    await sleep(done === undefined ? 2 : 20);
  }
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
  await target.whileDeserted((thread) => closeNamed(thread, named, size, onStep));
}

/** For a guest that does not do what it was asked to. */
export function silent(what: string): DebloatError {
  return new DebloatError(`The guest ${what} what it was asked to do.`, {
    hint: 'it is stopped, crashed or very busy; `debloat doctor --fix` cleans up when it runs again',
  });
}
