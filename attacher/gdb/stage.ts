import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { arenaIn, type ArenaMemory } from '../guest/arena-memory.js';
import { PageTables } from '../guest/index.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import { controlOffset, controlSize, stageError, StageControl } from '../guest/stage-control.js';
import type { Command } from '../guest/stage-steps.js';
import { readEntry, writeEntry } from '../hijack/address-space.js';
import { Refusal } from '../refusal.js';
import { throughDoor } from './door.js';
import type { StubDoor } from './stub-door.js';
import { functionsOf, hex, type GdbRecord, type Journal } from './journal.js';
import { SafePoint } from './safe-point.js';
import { pagingRegisters, type GdbStub } from './stub.js';

/** How long the guest may take for a command, in milliseconds. */
const patience = 60_000;
const addressBits = 0x000f_ffff_ffff_f000n;

/** The guest was started anew: what was in it has gone. */
export class GuestGone extends DebloatError {
  constructor() {
    super('The guest was started anew: the session is gone.');
  }
}

/** The record of a stage that has its place. */
export type PlacedRecord = Omit<GdbRecord, 'block' | 'hung'> & {
  block: NonNullable<GdbRecord['block']>;
  hung: NonNullable<GdbRecord['hung']>;
};

/** Whether the record's block is part of the kernel's address space. */
export function isHung(memory: ProcessMemory, { block, hung }: PlacedRecord): boolean {
  const entry = readEntry(memory, hung.entryAddress);
  return entry !== undefined && (entry & addressBits) === BigInt(block.physical);
}

/**
 * Whether the kernel that runs has the record's block in its address space. Memory alone does not tell:
 * after a restart what an earlier kernel left there may stand for long. The machine must be stopped.
 */
export async function isMapped(
  stub: GdbStub,
  memory: ProcessMemory,
  { block, hung, control }: PlacedRecord,
): Promise<boolean> {
  const address = hex(hung.virtualAddress) + BigInt(control);
  const registers = pagingRegisters(await stub.registers());
  try {
    for (const tables of PageTables.candidates(memory, registers)) {
      if (tables.translate(address)?.physical === block.physical + control) return true;
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error; // it is starting, in another mode
  }
  return false;
}

/** Stage 1 in a guest, in a block of the guest's own memory, reached through a gdb stub. */
export class GdbStage {
  readonly control: StageControl;
  readonly arena: ArenaMemory;
  /** How long the machine stood for us, in milliseconds. */
  held = 0;

  constructor(
    readonly memory: ProcessMemory,
    readonly record: PlacedRecord,
    readonly journal: Journal,
    arena?: ArenaMemory,
  ) {
    const { block, control } = record;
    this.arena = arena ?? arenaIn(memory, block.physical, block.size);
    this.arena.pull(control, controlSize);
    this.control = new StageControl(this.arena.bytes.subarray(control, control + controlSize));
  }

  get door(): StubDoor {
    return this.record.door;
  }

  /** How often the stage's heart has beaten. */
  get beats(): number {
    this.arena.pull(this.record.control + controlOffset.beats, 4);
    return this.control.beats;
  }

  /** Whether the block is still part of the kernel's address space, as memory has it; see `isMapped`. */
  get hangs(): boolean {
    return isHung(this.memory, this.record);
  }

  /** Bring what the guest wrote into our copy of the control block, where it is one. */
  refresh(): void {
    const { control } = this.record;
    this.arena.pull(control + controlOffset.queued, controlOffset.window - controlOffset.queued);
    const { message_head: head, message_tail: tail, messages } = controlOffset;
    this.arena.pull(control + head, tail - head);
    this.arena.pull(control + messages, 1024);
  }

  /** Take the host's part of the control block to the guest. */
  publish(): void {
    const { control } = this.record;
    const { queued, window, message_head: head } = controlOffset;
    this.arena.push(control + window, head - window);
    this.arena.push(control, queued);
  }

  /** At a safe point: have the guest carry out a command. Its number, for `outcome`. */
  async enqueue(point: SafePoint, command: Command): Promise<number> {
    let sequence = 0;
    await point.call(hex(this.record.enqueue), [], () => {
      this.refresh();
      sequence = this.control.begin(command);
      this.publish();
    });
    return sequence;
  }

  /** Have the guest carry out a command; resolves when it has. Throws DebloatError where it could not. */
  async command(command: Command): Promise<void> {
    const { result, held } = await throughDoor(this.record.machine.pid, this.door, async (stub) => {
      if (!(await isMapped(stub, this.memory, this.record))) throw new GuestGone();
      return SafePoint.with(stub, functionsOf(this.record), this.journal, (point) =>
        this.enqueue(point, command),
      );
    });
    this.held += held;
    await this.outcome(result);
  }

  /** Wait for a command to end. Throws DebloatError with what the guest said where it failed. */
  async outcome(sequence: number): Promise<void> {
    const messages: string[] = [];
    const end = performance.now() + patience;
    for (;;) {
      this.refresh();
      const outcome = this.control.outcome(sequence);
      messages.push(...this.control.messages());
      if (outcome?.result === 0) return;
      if (outcome) throw stageError(outcome, messages);
      if (performance.now() > end) {
        throw new DebloatError('The guest did not end what it was asked to do.', {
          hint: 'it is stopped, crashed or very busy; the next `debloat attach` to it cleans up',
        });
      }
      if (!this.hangs) throw new GuestGone();
      await sleep(1);
    }
  }

  /** Take the block out of the guest and give its pages back; no code of the stage may have work left. */
  async takeOut(): Promise<void> {
    const { record } = this;
    const { held } = await throughDoor(record.machine.pid, this.door, async (stub) => {
      // A guest that was started anew has nothing of ours.
      if (!(await isMapped(stub, this.memory, record))) return;
      for (let tries = 0; tries < 20; tries++) {
        const act = async (point: SafePoint) => {
          if (await this.#isAnyoneInside(stub)) return false;
          writeEntry(this.memory, record.hung.entryAddress, 0n);
          await flush(stub);
          await point.free(record.block);
          return true;
        };
        const out = await SafePoint.with(stub, functionsOf(record), this.journal, act);
        if (out) return;
        await sleep(5);
        await stub.interrupt();
      }
      throw new DebloatError('A processor of the guest does not leave the stage.');
    });
    this.held += held;
  }

  async #isAnyoneInside(stub: GdbStub): Promise<boolean> {
    const start = hex(this.record.hung.virtualAddress);
    const end = start + BigInt(this.record.block.size);
    for (const thread of await stub.threads()) {
      await stub.select(thread);
      const rip = (await stub.registers()).get('rip') ?? 0n;
      if (rip >= start && rip < end) return true;
    }
    return false;
  }
}

/** Setting CR3 to what it is makes an emulated processor forget translations, which it may keep for long. */
export async function flush(stub: GdbStub): Promise<void> {
  for (const thread of await stub.threads()) {
    await stub.select(thread);
    const cr3 = (await stub.registers()).get('cr3') ?? 0n;
    await stub.setRegisters([['cr3', cr3]]);
  }
}

/** Where `address` of the kernel is at a safe point; throws DebloatError if it is nowhere. */
export function physicalOf(memory: ProcessMemory, tables: PageTables, address: bigint): number {
  const place = tables.translate(address);
  if (place === undefined)
    throw new DebloatError('The guest’s kernel gave memory that is not there.');
  return place.physical;
}
