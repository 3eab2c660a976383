import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { arenaIn, type ArenaMemory } from '../guest/arena-memory.js';
import { PageTables } from '../guest/index.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import { controlOffset, controlSize, stageError, StageControl } from '../guest/stage-control.js';
import type { Command } from '../guest/stage-steps.js';
import { readEntry, writeEntry } from '../hijack/address-space.js';
import { pauseAfter } from '../pause.js';
import { Refusal } from '../refusal.js';
import { throughDoor } from './door.js';
import type { StubDoor } from './stub-door.js';
import { functionsOf, hex, type GdbRecord, type Journal } from './journal.js';
import { SafePoint } from './safe-point.js';
import { pagingRegisters, type GdbStub } from './stub.js';

/** How long the guest may take for a command, in milliseconds. */
const patience = 60_000;
/** Between looks whether it has, at most. */
const longestPause = 20;
/** How long to look for a beat of the session's threads, in milliseconds: longer than they rest. */
const beatPatience = 1000;
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
 * Whether the kernel that runs has the record's block in its address space, by the registers of one of
 * its processors. Memory alone does not tell: after a restart what an earlier kernel left there may
 * stand for long. The machine must have been stopped for these.
 */
export function isMapped(
  registers: ReadonlyMap<string, bigint>,
  memory: ProcessMemory,
  { block, hung, control }: PlacedRecord,
): boolean {
  const address = hex(hung.virtualAddress) + BigInt(control);
  try {
    for (const tables of PageTables.candidates(memory, pagingRegisters(registers))) {
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
  ) {
    const { block, control } = record;
    this.arena = arenaIn(memory, block.physical, block.size);
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

  /** Take the host's part of the control block to the guest, what is to be done last. */
  publish(): void {
    const { control } = this.record;
    const { queued, window, message_head: head } = controlOffset;
    this.arena.push(control + window, head - window);
    this.arena.push(control, queued);
  }

  /** Have the guest carry out a command; resolves when it has. Throws DebloatError where it could not. */
  async command(command: Command): Promise<void> {
    this.refresh();
    const sequence = (await this.#beats()) ? this.#ask(command) : await this.#send(command);
    await this.outcome(sequence);
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

  /** Leave a command to the session's threads: no processor is stopped. */
  #ask(command: Command): number {
    const sequence = this.control.begin(command, 'asked');
    this.publish();
    return sequence;
  }

  /** Send a processor to queue a command. */
  async #send(command: Command): Promise<number> {
    return this.#atSafePoint(async (point) => {
      let sequence = 0;
      const prepare = () => {
        this.refresh();
        sequence = this.control.begin(command);
        this.publish();
      };
      await point.call(hex(this.record.enqueue), [], { prepare });
      return sequence;
    });
  }

  /** Throws GuestGone where the guest was started anew. */
  async #atSafePoint<T>(act: (point: SafePoint, stub: GdbStub) => Promise<T>): Promise<T> {
    const { record, memory, journal } = this;
    const check = (registers: ReadonlyMap<string, bigint>) => {
      if (!isMapped(registers, memory, record)) throw new GuestGone();
    };
    const { result, held } = await throughDoor(record.machine.pid, this.door, (stub) =>
      SafePoint.with(stub, functionsOf(record), journal, (point) => act(point, stub), check),
    );
    this.held += held;
    return result;
  }

  /** Wait for a command to end. Throws DebloatError with what the guest said where it failed. */
  async outcome(sequence: number): Promise<void> {
    const messages: string[] = [];
    const begun = performance.now();
    for (;;) {
      this.refresh();
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
      if (!this.hangs) throw new GuestGone();
      await sleep(pauseAfter(waited, longestPause));
    }
  }

  /** Take the block out of the guest and give its pages back; no code of the stage may have work left. */
  async takeOut(): Promise<void> {
    const { record, memory } = this;
    const act = async (point: SafePoint, stub: GdbStub) => {
      const processors = await processorsOf(stub, point);
      if (processors.some(({ registers }) => this.#isInside(registers.get('rip') ?? 0n))) {
        return false;
      }
      writeEntry(memory, record.hung.entryAddress, 0n);
      await Promise.all([flush(stub, processors), point.free(record.block)]);
      return true;
    };
    try {
      for (let tries = 0; tries < 20; tries++) {
        if (await this.#atSafePoint(act)) return;
        await sleep(5);
      }
    } catch (error) {
      if (error instanceof GuestGone) return; // and with it all that was ours
      throw error;
    }
    throw new DebloatError('A processor of the guest does not leave the stage.');
  }

  #isInside(rip: bigint): boolean {
    const start = hex(this.record.hung.virtualAddress);
    return rip >= start && rip < start + BigInt(this.record.block.size);
  }
}

interface Processor {
  thread: string;
  registers: ReadonlyMap<string, bigint>;
}

/** All processors; that of the safe point is known. */
export async function processorsOf(stub: GdbStub, point: SafePoint): Promise<Processor[]> {
  const threads = await stub.threads();
  return stub.together(() =>
    Promise.all(
      threads.map(async (thread) => {
        if (thread === point.thread) return { thread, registers: point.registers };
        const [, registers] = await Promise.all([
          stub.select(thread),
          stub.registers(['rip', 'cr3']),
        ]);
        return { thread, registers };
      }),
    ),
  );
}

/** Setting CR3 to what it is makes an emulated processor forget translations, which it may keep for long. */
export async function flush(stub: GdbStub, processors: readonly Processor[]): Promise<void> {
  await stub.together(() =>
    Promise.all(
      processors.flatMap(({ thread, registers }) => [
        stub.select(thread),
        stub.setRegisters([['cr3', registers.get('cr3') ?? 0n]]),
      ]),
    ),
  );
}

/** Where `address` of the kernel is at a safe point; throws DebloatError if it is nowhere. */
export function physicalOf(memory: ProcessMemory, tables: PageTables, address: bigint): number {
  const place = tables.translate(address);
  if (place === undefined)
    throw new DebloatError('The guest’s kernel gave memory that is not there.');
  return place.physical;
}
