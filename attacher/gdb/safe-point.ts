import { DebloatError } from '../../analyzer/errors.js';
import { hex, type Journal, type NotedPoint } from './journal.js';
import type { GdbStub } from './stub.js';

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

/** A processor that is about to enter the scheduler: in a task's context, interrupts on, nothing held. */
export class SafePoint {
  /** Where the last call had its return address. */
  #stack: bigint;
  /** Between a call's begin and its return: only `settleCalls` can take the processor back then. */
  #inCall = false;

  private constructor(
    readonly stub: GdbStub,
    readonly thread: string,
    readonly registers: ReadonlyMap<string, bigint>,
    readonly symbols: SafePointSymbols,
    readonly journal: Journal,
  ) {
    // As if there had been a call before the first; 8 more than a multiple of 16 at each begin.
    this.#stack = ((this.#value('rsp') - stackRoom) & ~15n) + 8n;
  }

  /**
   * Have a standing machine go on until a processor comes to `schedule`, do something there, and let
   * it go on with all registers as they were. Whoever is killed meanwhile has noted in the journal what
   * the processor needs for that: see `settleCalls`.
   */
  static async with<T>(
    stub: GdbStub,
    symbols: SafePointSymbols,
    journal: Journal,
    act: (point: SafePoint) => Promise<T>,
  ): Promise<T> {
    const point = await SafePoint.#reach(stub, symbols, journal);
    let called = false;
    try {
      journal.note({ point: point.noted });
      await stub.setBreakpoint(symbols.panic);
      called = true;
      return await act(point);
    } finally {
      if (!point.#inCall) {
        await point.#restore();
        if (called) await stub.clearBreakpoint(symbols.panic);
        stub.resume();
      }
    }
  }

  /**
   * Do something at the safe point of a session that was killed there, on a processor that is in no
   * call now and has not gone on; then restore its registers. The machine stands before and after.
   */
  static async again(
    stub: GdbStub,
    symbols: SafePointSymbols,
    journal: Journal,
    { thread, registers, call }: NotedPoint,
    act: (point: SafePoint) => Promise<void>,
  ): Promise<void> {
    const values = new Map(Object.entries(registers).map(([name, text]) => [name, hex(text)]));
    const point = new SafePoint(stub, thread, values, symbols, journal);
    if (call) point.#stack = hex(call.stack);
    await act(point);
    await point.#restore();
  }

  /** What is noted of it while it is in no call. */
  get noted(): NotedPoint {
    const registers = [...this.registers].map(([name, value]) => [name, value.toString(16)]);
    return {
      thread: this.thread,
      registers: Object.fromEntries(registers) as Record<string, string>,
    };
  }

  async #restore(): Promise<void> {
    const { stub, thread, journal } = this;
    try {
      // Half restored, a processor no longer tells what a call gave.
      journal.note({ point: this.noted });
    } finally {
      await stub.select(thread);
      await stub.setRegisters(restored.map((name) => [name, this.#value(name)] as const));
      journal.note({ point: undefined });
    }
  }

  static async #reach(
    stub: GdbStub,
    symbols: SafePointSymbols,
    journal: Journal,
  ): Promise<SafePoint> {
    await stub.setBreakpoint(symbols.schedule);
    let set = true;
    try {
      for (let hits = 0; hits < mostHits; hits++) {
        stub.resume();
        const { thread } = await stub.nextStop(patience.scheduler);
        await stub.select(thread);
        const registers = await stub.registers();
        await stub.clearBreakpoint(symbols.schedule);
        set = false;
        if (isSafe(registers, symbols)) {
          return new SafePoint(stub, thread, registers, symbols, journal);
        }
        await stub.step(thread);
        await stub.setBreakpoint(symbols.schedule);
        set = true;
      }
    } catch (error) {
      if (set) await giveUp(stub, symbols.schedule);
      throw error;
    }
    await giveUp(stub, symbols.schedule);
    throw new DebloatError('No processor of the guest came to the scheduler as it should.');
  }

  /**
   * Call a kernel function here; what it returns. Other processors run meanwhile: they may hold a lock.
   * `prepare` makes what the function will find, once the call has been noted.
   */
  async call(
    address: bigint,
    parameters: readonly bigint[],
    prepare?: () => void,
  ): Promise<bigint> {
    const { stub, thread, symbols, journal } = this;
    if (parameters.length > argumentRegisters.length) throw new RangeError('too many arguments');
    const words = parameters.map((value) => value.toString(16));
    // Where the processor returns from one call it is told from one that has not begun the next.
    const stack = (this.#stack -= 16n);
    const call = {
      ...{ function: address.toString(16), parameters: words },
      stack: stack.toString(16),
    };
    journal.note({ point: { ...this.noted, call } });
    prepare?.();
    await stub.select(thread);
    const back = Buffer.alloc(8);
    back.writeBigUInt64LE(symbols.panic);
    await stub.write(stack, back);
    await stub.setRegisters([
      ...parameters.map((value, n) => [argumentRegisters[n] ?? 'rdi', value] as const),
      ['eflags', this.#value('eflags') & ~(EFLAGS_TF | EFLAGS_IF | EFLAGS_DF)],
      ['rsp', stack],
      ['rip', address],
    ]);
    this.#inCall = true;
    await untilReturned(stub, thread, symbols);
    this.#inCall = false;
    return (await stub.registers()).get('rax') ?? 0n;
  }

  /** Give a session's pages back to the guest, and note that they are gone. */
  async free({ virtual, order }: { virtual: string; order: number }): Promise<void> {
    await this.call(this.symbols.freePages, [hex(virtual), BigInt(order)]);
    this.journal.note({ block: undefined, hung: undefined, point: this.noted });
  }

  #value(name: string): bigint {
    return this.registers.get(name) ?? 0n;
  }
}

/** Let the machine run until a call has come back to the breakpoint at `panic`; its processor is selected then. */
export async function untilReturned(
  stub: GdbStub,
  thread: string,
  { panic }: Pick<SafePointSymbols, 'panic'>,
): Promise<void> {
  const end = performance.now() + patience.call;
  while (performance.now() < end) {
    stub.resume();
    const stop = await stub.nextStop(patience.call);
    if (stop.thread !== thread) continue; // another processor was at the scheduler just before
    await stub.select(thread);
    if ((await stub.registers()).get('rip') === panic) return;
  }
  throw new DebloatError('A function called in the guest’s kernel did not return.');
}

function isSafe(registers: ReadonlyMap<string, bigint>, { schedule }: SafePointSymbols): boolean {
  const value = (name: string) => registers.get(name) ?? 0n;
  return (
    value('rip') === schedule && (value('cs') & 3n) === 0n && (value('eflags') & EFLAGS_IF) !== 0n
  );
}

/** The breakpoint goes, and the machine runs. */
async function giveUp(stub: GdbStub, schedule: bigint): Promise<void> {
  try {
    await stub.interrupt();
    await stub.clearBreakpoint(schedule);
  } catch {
    return; // the connection is lost: detaching by another one is the caller's
  }
}
