import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { closeDescriptor } from '../../native/linux/event.js';
import { controlSize, stageError, StageControl } from '../guest/stage-control.js';
import { Command } from '../guest/stage-steps.js';
import { writeEntry } from './address-space.js';
import { layoutOfPages, pageSize, rootEntry, type ArenaLayout } from './arena.js';
import type { ArenaFile } from './arena-file.js';
import { enterStage, GuestStartedAnew, isAnyoneInside } from './enter-stage.js';
import type { AttachRecord } from './journal.js';
import type { EventName } from './resources.js';
import { isOurs, placeOf, silent, takeArenaOut } from './take-out.js';
import type { HijackTarget } from './target.js';

/** How long the guest may take to begin and to end what it was sent to do, in milliseconds. */
const beginPatience = 30_000;
const endPatience = 180_000;
/** Between looks whether it has, in milliseconds. */
const mostPause = 50;

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

  /**
   * `command`, unless the guest was started anew: false then, for nothing of ours is in it. Throws as
   * `command` does.
   */
  async commandIfThere(command: Command): Promise<boolean> {
    const isThere = () => this.hangs;
    if (!isThere()) return false;
    try {
      await this.command(command);
      return true;
    } catch (error) {
      // Reset does not clear memory: what hung in the old kernel's tables may still be seen there.
      if (error instanceof GuestStartedAnew || !isThere()) return false;
      throw error;
    }
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

  /** Whether the guest has the device, by the last command that it ended, else by what was noted. */
  get isInGuest(): boolean {
    const { guest } = this.record;
    const { last } = this.#control;
    if (guest === 'untouched' || guest === 'removed') return false;
    if (last?.command === Command.addDisk) return last.outcome.result === 0;
    if (last?.command === Command.removeDisk) return last.outcome.result !== 0;
    // What was noted but abandoned never began.
    return guest !== 'adding';
  }

  async #outcome(sequence: number): Promise<void> {
    const messages: string[] = [];
    const begun = performance.now();
    for (;;) {
      if (!this.hangs) throw new GuestStartedAnew();
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
      // A slow guest is asked less often: many that are attached to at once share our processors.
      await sleep(Math.min(mostPause, 5 + waited / 50));
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
