import { DebloatError } from '../../analyzer/errors.js';
import { hex, type Journal, type NotedPoint } from './journal.js';
import type { GdbStub } from './stub.js';
import { comeFirst, standBack } from '../priority.js';

/** How long to wait for a processor to come to the scheduler, and for a call to return, in milliseconds. */
const patience = { scheduler: 15_000, call: 10_000 };
/** Hits in user mode or with interrupts off (there are none in practice) before it is given up. */
const mostHits = 50;

const EFLAGS_TF = 1n << 8n;
const EFLAGS_IF = 1n << 9n;
const EFLAGS_DF = 1n << 10n;

/** Room below the stack pointer for whatever the interrupted function keeps there. */
const stackRoom = 512n;

const argumentRegisters = ['rdi', 'rsi', 'rdx', 'rcx'] as const;
/** What a called function may change; all others it gives back (System V ABI, 3.2.1). */
const restored = [
  ...['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11'],
  ...['rsp', 'rip', 'eflags'],
] as const;

/** Kernel functions that a safe point is made of: where it is, what a call returns to, and one that is called. */
export interface SafePointSymbols {
  schedule: bigint;
  /** Never executed in a guest that lives: its address can be a return address. */
  panic: bigint;
  freePages: bigint;
}

/** What a safe point needs of a stub. */
export type PointStub = Pick<
  GdbStub,
  | 'together'
  | 'pass'
  | 'resume'
  | 'registers'
  | 'setRegisters'
  | 'nextStop'
  | 'step'
  | 'stand'
  | 'select'
  | 'setBreakpoint'
  | 'clearBreakpoint'
  | 'write'
>;
/** And of a journal. */
type PointJournal = Pick<Journal, 'note' | 'record'>;

type Changes = Parameters<Journal['note']>[0];

/** What goes with a call. */
export interface CallOptions {
  /** Noted together with it. */
  changes?: Changes;
  /** Makes what the function will find, once the call has been noted. */
  prepare?: () => void;
}

/** A processor that is about to enter the scheduler: in a task's context, interrupts on, nothing held. */
export class SafePoint {
  /** What is noted of it while it is in no call. */
  readonly noted: NotedPoint;
  /** Where the last call had its return address. */
  #stack: bigint;
  /** Between a call's begin and its return: only `settleCalls` can take the processor back then. */
  #inCall = false;
  /** The breakpoint that calls return to is set, or was asked for. */
  #armed: Promise<void> | undefined;
  /** The processor has what it needs to go on by itself. */
  #left = false;

  private constructor(
    readonly stub: PointStub,
    readonly thread: string,
    readonly registers: ReadonlyMap<string, bigint>,
    readonly symbols: SafePointSymbols,
    readonly journal: PointJournal,
  ) {
    // As if there had been a call before the first; 8 more than a multiple of 16 at each begin.
    this.#stack = ((this.#value('rsp') - stackRoom) & ~15n) + 8n;
    const values = [...registers].map(([name, value]) => [name, value.toString(16)] as const);
    this.noted = { thread, registers: Object.fromEntries(values) };
  }

  /**
   * Have a machine go on until a processor comes to `schedule`, and do something there; it stands
   * afterwards, with all registers as they were unless that was to leave by a function. Whoever is
   * killed meanwhile has noted in the journal what the processor needs for that: see `settleCalls`.
   * `check` is given the registers of some processor before; what it throws is thrown then, and nothing
   * was done.
   */
  static async with<T>(
    stub: PointStub,
    symbols: SafePointSymbols,
    journal: PointJournal,
    act: (point: SafePoint) => Promise<T>,
    check?: (registers: ReadonlyMap<string, bigint>) => void,
  ): Promise<T> {
    comeFirst();
    try {
      const point = await SafePoint.#reach(stub, symbols, journal, check);
      try {
        return await act(point);
      } finally {
        if (!point.#inCall && !point.#left) await point.#restore();
      }
    } finally {
      standBack();
    }
  }

  /**
   * Do something at the safe point of a session that was killed there, on a processor that is in no
   * call now and has not gone on; then restore its registers. The machine stands before and after, and
   * the breakpoint that calls return to is set before.
   */
  static async again(
    stub: PointStub,
    symbols: SafePointSymbols,
    journal: PointJournal,
    { thread, registers, call }: NotedPoint,
    act: (point: SafePoint) => Promise<void>,
  ): Promise<void> {
    const values = new Map(Object.entries(registers).map(([name, text]) => [name, hex(text)]));
    const point = new SafePoint(stub, thread, values, symbols, journal);
    point.#armed = Promise.resolve();
    const stack = call && hex(call.stack);
    if (stack !== undefined && stack < point.#stack) point.#stack = stack;
    await act(point);
    await point.#restore();
  }

  async #restore(): Promise<void> {
    const { stub, thread, journal, symbols } = this;
    // Nothing was noted of it, and nothing changed.
    if (this.#armed === undefined) return;
    try {
      // Half restored, a processor no longer tells what a call gave.
      if (journal.record.point?.call) journal.note({ point: this.noted });
    } finally {
      await stub.together(() =>
        Promise.all([
          stub.select(thread),
          stub.setRegisters(restored.map((name) => [name, this.#value(name)] as const)),
          stub.clearBreakpoint(symbols.panic),
        ]),
      );
      journal.note({ point: undefined });
    }
  }

  static async #reach(
    stub: PointStub,
    symbols: SafePointSymbols,
    journal: PointJournal,
    check?: (registers: ReadonlyMap<string, bigint>) => void,
  ): Promise<SafePoint> {
    const { schedule } = symbols;
    let set = true;
    try {
      const [before] = await stub.pass(() =>
        Promise.all([check && stub.registers(), stub.setBreakpoint(schedule)]),
      );
      if (before) check?.(before);
      for (let hits = 0; hits < mostHits; hits++) {
        const { thread } = await stub.nextStop(patience.scheduler);
        const [, registers] = await stub.together(() =>
          Promise.all([stub.select(thread), stub.registers(), stub.clearBreakpoint(schedule)]),
        );
        set = false;
        if (isSafe(registers, symbols)) {
          return new SafePoint(stub, thread, registers, symbols, journal);
        }
        await stub.step(thread);
        set = true;
        await stub.pass(() => stub.setBreakpoint(schedule));
      }
    } catch (error) {
      if (set) await giveUp(stub, schedule);
      throw error;
    }
    await giveUp(stub, schedule);
    throw new DebloatError('No processor of the guest came to the scheduler as it should.');
  }

  /**
   * Call a kernel function here; what it returns. Other processors run meanwhile: they may hold a lock.
   */
  async call(
    address: bigint,
    parameters: readonly bigint[],
    { changes = {}, prepare }: CallOptions = {},
  ): Promise<bigint> {
    const { stub, thread, symbols, journal } = this;
    if (parameters.length > argumentRegisters.length) throw new RangeError('too many arguments');
    // Where the processor returns from one call it is told from one that has not begun the next.
    const stack = (this.#stack -= 16n);
    // What is below the stack pointer is nobody's: it may be written, and meanwhile the call noted.
    const ready = stub.together(() =>
      Promise.all([
        (this.#armed ??= stub.setBreakpoint(symbols.panic)),
        stub.select(thread),
        stub.write(stack, word(symbols.panic)),
      ]),
    );
    ready.catch(() => undefined);
    journal.note({
      ...changes,
      point: { ...this.noted, call: noteOf(address, parameters, stack) },
    });
    prepare?.();
    await ready;
    this.#inCall = true;
    const set = stub.together(() => {
      const set = stub.setRegisters([
        ...parameters.map((value, n) => [argumentRegisters[n] ?? 'rdi', value] as const),
        ['eflags', this.#value('eflags') & ~(EFLAGS_TF | EFLAGS_IF | EFLAGS_DF)],
        ['rsp', stack],
        ['rip', address],
      ]);
      stub.resume();
      return set;
    });
    const [, result] = await Promise.all([set, untilReturned(stub, thread, symbols)]);
    this.#inCall = false;
    return result;
  }

  /**
   * Leave by a kernel function, after which the processor enters `schedule` as it was about to. What a
   * function may change holds nothing at the first instruction of another (System V ABI, 3.2.1) that has
   * no arguments. `after` is noted when that cannot be stopped any more.
   */
  async leaveBy(address: bigint, parameters: readonly bigint[], after: Changes): Promise<void> {
    const stack = this.#value('rsp') - 8n;
    const values = [
      ...parameters.map((value, n) => [argumentRegisters[n] ?? 'rdi', value] as const),
      ['eflags', this.#value('eflags')] as const,
    ];
    const back = { address: stack, value: this.symbols.schedule };
    await this.#leave(address, parameters, { stack, values, back }, { after });
  }

  /** Leave into a function of the stage that keeps all registers, and is told where to go on. */
  async leaveInto(address: bigint, options: CallOptions): Promise<void> {
    const flags = this.#value('eflags') & ~EFLAGS_IF;
    const values = restored.map((name) => [name, this.#value(name)] as const);
    const own = values.filter(([name]) => name !== 'rip' && name !== 'eflags');
    const stack = this.#value('rsp');
    await this.#leave(address, [], { stack, values: [...own, ['eflags', flags]] }, options);
  }

  async #leave(
    address: bigint,
    parameters: readonly bigint[],
    to: {
      stack: bigint;
      values: (readonly [string, bigint])[];
      back?: { address: bigint; value: bigint };
    },
    { changes = {}, prepare, after = {} }: CallOptions & { after?: Changes },
  ): Promise<void> {
    const { stub, thread, symbols, journal } = this;
    const { stack, values, back } = to;
    journal.note({
      ...changes,
      point: { ...this.noted, call: noteOf(address, parameters, stack) },
    });
    prepare?.();
    const isArmed = this.#armed !== undefined;
    this.#armed ??= Promise.resolve(); // from here on there is something to restore
    await stub.together(() =>
      Promise.all([
        stub.select(thread),
        back && stub.write(back.address, word(back.value)),
        stub.setRegisters([...values, ['rsp', stack], ['rip', address]]),
        isArmed && stub.clearBreakpoint(symbols.panic),
      ]),
    );
    // Whoever lets the machine go on from here on lets it do that.
    this.#left = true;
    journal.note({ ...after, point: undefined });
  }

  /** Leave giving a session's pages back to the guest, and note that they are gone. */
  async free({ virtual, order }: { virtual: string; order: number }): Promise<void> {
    const gone = { block: undefined, hung: undefined };
    await this.leaveBy(this.symbols.freePages, [hex(virtual), BigInt(order)], gone);
  }

  #value(name: string): bigint {
    return this.registers.get(name) ?? 0n;
  }
}

function noteOf(address: bigint, parameters: readonly bigint[], stack: bigint): NotedPoint['call'] {
  return {
    function: address.toString(16),
    parameters: parameters.map((value) => value.toString(16)),
    stack: stack.toString(16),
  };
}

function word(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

/**
 * Let a machine that goes on run until a call has come back to the breakpoint at `panic`; what it
 * returned. Its processor is selected then.
 */
export async function untilReturned(
  stub: PointStub,
  thread: string,
  { panic }: Pick<SafePointSymbols, 'panic'>,
): Promise<bigint> {
  const end = performance.now() + patience.call;
  while (performance.now() < end) {
    const stop = await stub.nextStop(patience.call);
    // Another processor was at the scheduler just before.
    if (stop.thread === thread) {
      const [, registers] = await stub.together(() =>
        Promise.all([stub.select(thread), stub.registers(['rip', 'rax'])]),
      );
      if (registers.get('rip') === panic) return registers.get('rax') ?? 0n;
    }
    stub.resume();
  }
  throw new DebloatError('A function called in the guest’s kernel did not return.');
}

function isSafe(registers: ReadonlyMap<string, bigint>, { schedule }: SafePointSymbols): boolean {
  const value = (name: string) => registers.get(name) ?? 0n;
  return (
    value('rip') === schedule && (value('cs') & 3n) === 0n && (value('eflags') & EFLAGS_IF) !== 0n
  );
}

/** The breakpoint goes; the machine stands. */
async function giveUp(stub: PointStub, schedule: bigint): Promise<void> {
  try {
    await stub.stand();
    await stub.clearBreakpoint(schedule);
  } catch {
    return; // the connection is lost: detaching by another one is the caller's
  }
}
