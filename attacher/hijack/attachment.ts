import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { closeDescriptor } from '../../native/linux/event.js';
import { controlSize, stageError, StageControl } from '../guest/stage-control.js';
import type { Command } from '../guest/stage-steps.js';
import { readEntry, writeEntry } from './address-space.js';
import { layoutOfPages, pageSize, rootEntry, type ArenaLayout } from './arena.js';
import type { ArenaFile } from './arena-file.js';
import { enterStage, isAnyoneInside } from './enter-stage.js';
import { arenaFiles, mappedAt, markedEvents, eventMark } from './hypervisor-files.js';
import type { AttachRecord } from './journal.js';
import type { EventName } from './resources.js';
import { withdraw } from './withdraw.js';
import { closeIn, unmapIn } from './system-calls.js';
import type { StoppedThread } from './inject/stopped-thread.js';
import type { HijackTarget } from './target.js';

/** How long the guest may take to begin and to end what it was sent to do, in milliseconds. */
const beginPatience = 30_000;
const endPatience = 180_000;

export interface AttachmentOptions {
  onStep: (step: string) => void;
  /** Lines that the guest's stage says. */
  log: (line: string) => void;
}

/** An arena in a VM and the stage in it: what can be asked of the guest, and the way out. */
export class Attachment {
  readonly #control: StageControl;

  /** `events`: our duplicates, closed by `takeOut`, as the file is. */
  constructor(
    readonly target: HijackTarget,
    readonly file: ArenaFile,
    readonly record: AttachRecord,
    readonly events: Partial<Record<EventName, number>>,
    readonly options: AttachmentOptions,
  ) {
    const { control } = record;
    this.#control = new StageControl(file.bytes.subarray(control, control + controlSize));
  }

  get control(): StageControl {
    return this.#control;
  }

  get layout(): ArenaLayout {
    return layoutOfPages(this.record.ramPages);
  }

  /** Note what the guest is at, before it is. */
  note(guest: AttachRecord['guest']): void {
    this.record.guest = guest;
    this.file.journal.write(this.record);
  }

  /** Hang the arena into the kernel's page tables. */
  hangIn(): void {
    const { record, target, options } = this;
    if (record.entryAddress === undefined) throw new RangeError('no entry was chosen');
    options.onStep('hang the stage into the page tables');
    if (!writeEntry(target.memory, record.entryAddress, rootEntry(placeOf(record)))) {
      throw new DebloatError('The guest’s page tables are no longer where they were.');
    }
  }

  /**
   * Have the guest carry out a command; resolves when it has. Throws DebloatError with what the guest
   * said when it could not, or did not even begin.
   */
  async command(command: Command): Promise<void> {
    const { target, record, options } = this;
    if (record.entryAddress === undefined) throw new RangeError('no entry was chosen');
    const sequence = this.#control.begin(command);
    const processor = { sent: false };
    try {
      await enterStage(target, {
        entry: BigInt(`0x${record.entry}`),
        entryAddress: record.entryAddress,
        setResume: (rip, flags) => {
          this.#control.setResume(rip, flags);
          processor.sent = true;
        },
        onStep: options.onStep,
      });
    } catch (error) {
      if (!processor.sent) this.#control.abandon();
      throw error;
    }
    await this.#outcome(sequence);
  }

  /** Wait for the command that was begun last, by whomever. False if no processor was sent to carry it out. */
  async settle(): Promise<boolean> {
    const sequence = this.#control.sequence;
    const end = performance.now() + 2000;
    while (!this.#control.queued(sequence) && !this.#control.idle) {
      if (performance.now() > end && !(await this.#isAnyoneInside())) {
        this.#control.abandon();
        return false;
      }
      await sleep(20);
    }
    await this.#outcome(sequence).catch((error: unknown) => {
      if (!this.#control.idle) throw error;
    });
    return true;
  }

  /** Whether the arena is still part of the kernel's address space: not after the guest was started anew. */
  get hangs(): boolean {
    const { entryAddress } = this.record;
    return entryAddress !== undefined && isOurs(this.target, this.record, entryAddress);
  }

  async #outcome(sequence: number): Promise<void> {
    const messages: string[] = [];
    const begun = performance.now();
    for (;;) {
      const outcome = this.#control.outcome(sequence);
      for (const line of this.#control.messages()) {
        messages.push(line);
        this.options.log(line);
      }
      if (outcome) {
        if (outcome.result === 0) return;
        throw stageError(outcome, messages);
      }
      const waited = performance.now() - begun;
      if (waited > beginPatience && !this.#control.queued(sequence)) throw silent('did not begin');
      if (waited > endPatience) throw silent('did not end');
      await sleep(5);
    }
  }

  /**
   * Take the arena out of guest and hypervisor; nothing of the stage may have work left. Throws
   * DebloatError where a processor does not leave it.
   */
  async takeOut(): Promise<void> {
    await takeArenaOut(this.target, this, this.options.onStep);
    this.letGo();
  }

  /** Close our hands on it; it stays in the VM. */
  letGo(): void {
    for (const fd of Object.values(this.events)) closeDescriptor(fd);
    this.file[Symbol.dispose]();
  }

  async #isAnyoneInside(): Promise<boolean> {
    const { virtualAddress } = placeOf(this.record);
    const end = virtualAddress + BigInt(this.record.ramPages * pageSize);
    return isAnyoneInside(this.target, virtualAddress, end);
  }
}

/** Whether the page-table entry at `address` maps this record's arena, whatever else is set in it. */
function isOurs(target: HijackTarget, record: AttachRecord, address: number): boolean {
  const entry = readEntry(target.memory, address);
  const addressBits = 0x000f_ffff_ffff_f000n;
  return entry !== undefined && (entry & addressBits) === BigInt(record.guestAddress);
}

function placeOf({ guestAddress, virtualAddress }: AttachRecord) {
  return { guestAddress, virtualAddress: BigInt(`0x${virtualAddress}`) };
}

/** The way out of `Attachment.takeOut`, for one that was broken off before there was one, too. */
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

function silent(what: string): DebloatError {
  return new DebloatError(`The guest ${what} what it was asked to do.`, {
    hint: 'it is stopped, crashed or very busy; `debloat doctor --fix` cleans up when it runs again',
  });
}
