import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { arenaIn, type ArenaMemory } from '../guest/arena-memory.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import { controlOffset, controlSize, stageError, StageControl } from '../guest/stage-control.js';
import { Command } from '../guest/stage-steps.js';
import { pauseAfter } from '../pause.js';
import { Refusal } from '../refusal.js';
import { isHung, tablesWith, takeBack, type NotedBlock } from './block.js';
import { throughDoor } from './door.js';
import { hex, type GdbRecord } from './journal.js';
import { GuestGone, sendProcessor, type Entrance } from './send.js';
import { pagingRegisters } from './register-layout.js';
import type { GdbStub, StubLook } from './stub.js';

/** How long the guest may take for a command, in milliseconds. */
const patience = 60_000;
/** Between looks whether it has, at most. */
const longestPause = 20;
/** How long to look for a beat of the session's threads, in milliseconds: longer than they rest. */
const beatPatience = 1000;

/** The record of a stage that has its place. */
export type PlacedRecord = GdbRecord & { block: NotedBlock };

/** Stage 1 in a guest, in a block of the guest's own memory, reached through a gdb stub. */
export class GdbStage {
  readonly control: StageControl;
  readonly arena: ArenaMemory;
  /** How long the machine stood for us, in milliseconds. */
  held = 0;

  constructor(
    readonly memory: ProcessMemory,
    readonly record: PlacedRecord,
  ) {
    const { physical, size, control } = record.block;
    this.arena = arenaIn(memory, physical, size);
    this.arena.pull(control, controlSize);
    this.control = new StageControl(this.arena.bytes.subarray(control, control + controlSize));
  }

  /** How often the stage's heart has beaten. */
  get beats(): number {
    this.arena.pull(this.record.block.control + controlOffset.beats, 4);
    return this.control.beats;
  }

  /** Whether the block is still part of the kernel's address space, as memory has it; see `isMapped`. */
  get hangs(): boolean {
    return isHung(this.memory, this.record.block);
  }

  /** Whether a processor has ever come. */
  get hasBegun(): boolean {
    return !this.control.queued(0);
  }

  /** Bring what the guest wrote into our copy of the control block, where it is one. */
  refresh(): void {
    const { control } = this.record.block;
    this.arena.pull(control + controlOffset.queued, controlOffset.window - controlOffset.queued);
    const { message_head: head, message_tail: tail, messages } = controlOffset;
    this.arena.pull(control + head, tail - head);
    this.arena.pull(control + messages, 1024);
  }

  /** Take the host's part of the control block to the guest, what is to be done last. */
  publish(): void {
    const { control } = this.record.block;
    const { queued, window, message_head: head } = controlOffset;
    this.arena.push(control + window, head - window);
    this.arena.push(control, queued);
  }

  /** Have the guest carry out a command; resolves when it has. Throws DebloatError where it could not. */
  async command(command: Command): Promise<void> {
    this.refresh();
    const sequence = (await this.#beats()) ? this.#ask(command) : await this.#sendWith(command);
    await this.outcome(sequence);
  }

  /** Leave a command to the session's threads: no processor is stopped. */
  #ask(command: Command): number {
    const sequence = this.control.begin(command, 'asked');
    this.publish();
    return sequence;
  }

  /** Begin a command when it is known that the guest is still ours, and send a processor to queue it. */
  async #sendWith(command: Command): Promise<number> {
    let sequence = 0;
    const { entrance } = this;
    const setResume: Entrance['setResume'] = (rip, flags) => {
      this.refresh();
      sequence = this.control.begin(command);
      this.publish();
      entrance.setResume(rip, flags);
    };
    await this.send({ ...entrance, setResume });
    return sequence;
  }

  /** Whether the session's own threads run, which look for commands. */
  async #beats(): Promise<boolean> {
    if (this.control.session === 'none') return false;
    const before = this.beats;
    for (const end = performance.now() + beatPatience; performance.now() < end;) {
      await sleep(2);
      if (this.beats !== before) return true;
    }
    return false;
  }

  /** Send a processor to queue the command that was begun. Throws GuestGone where the guest was started anew. */
  async send(entrance = this.entrance): Promise<void> {
    await this.#visit((stub) => sendProcessor(stub, entrance));
  }

  /** Learn how the stub tells of registers; the machine stands only for as long as that takes QEMU. */
  async look(): Promise<StubLook> {
    try {
      return await this.#visit((stub) => stub.look(true));
    } catch (error) {
      if (error instanceof Refusal || !(error instanceof DebloatError)) throw error;
      return this.#visit((stub) => stub.look(false));
    }
  }

  async #visit<T>(act: (stub: GdbStub) => Promise<T>): Promise<T> {
    const { machine, door } = this.record;
    const { result, held } = await throughDoor(machine.pid, door, act);
    this.held += held;
    return result;
  }

  get entrance(): Entrance {
    const { memory, record, control, arena } = this;
    const { block } = record;
    return {
      address: hex(block.entrance),
      schedule: hex(record.schedule),
      kernelOf: (registers) => {
        const tables = tablesWith(memory, pagingRegisters(registers), block);
        return tables && ((address, length) => tables.read(address, length));
      },
      setResume: (rip, flags) => {
        control.setResume(rip, flags);
        arena.push(block.control + controlOffset.resume_rip, 16);
      },
    };
  }

  /** Wait for a command to end. Throws DebloatError with what the guest said where it failed. */
  async outcome(sequence: number): Promise<void> {
    const messages: string[] = [];
    const begun = performance.now();
    for (;;) {
      this.refresh();
      if (!this.hangs) throw new GuestGone(); // first of all: taking messages is a write
      const outcome = this.control.outcome(sequence);
      messages.push(...this.control.messages());
      if (outcome?.result === 0) return;
      if (outcome) throw stageError(outcome, messages);
      const waited = performance.now() - begun;
      if (waited > patience) {
        throw new DebloatError('The guest did not end what it was asked to do.', {
          hint: 'it is stopped, crashed or very busy; the next `debloat attach` to it cleans up',
        });
      }
      await sleep(pauseAfter(waited, longestPause));
    }
  }

  /**
   * End the session, if one is there, and take the stage out of the guest: its code is written over by
   * the guest when nobody executes it any more, the rest by us. Throws GuestGone where the guest was
   * started anew.
   */
  async leave(): Promise<void> {
    this.refresh();
    if (this.control.last?.command !== Command.leave) await this.command(Command.leave);
    const begun = performance.now();
    for (let waited = 0; !this.#isWrittenOver; waited = performance.now() - begun) {
      if (!this.hangs) throw new GuestGone();
      if (waited > patience) throw new DebloatError('The guest does not let go of the stage.');
      await sleep(pauseAfter(waited, longestPause));
    }
    takeBack(this.memory, this.record.block);
  }

  get #isWrittenOver(): boolean {
    const { physical, code, filler } = this.record.block;
    const bytes = this.memory.read(physical + code.offset, code.size);
    return bytes === undefined || Buffer.alloc(code.size, filler).equals(bytes);
  }
}
