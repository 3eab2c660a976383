import { DebloatError } from '../../analyzer/errors.js';
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

/** Kernel functions that a safe point is made of: where it is, and what a call returns to. */
export interface SafePointSymbols {
  schedule: bigint;
  /** Never executed in a guest that lives: its address can be a return address. */
  panic: bigint;
}

/** A processor that is about to enter the scheduler: in a task's context, interrupts on, nothing held. */
export class SafePoint {
  private constructor(
    readonly stub: GdbStub,
    readonly thread: string,
    readonly registers: ReadonlyMap<string, bigint>,
    readonly symbols: SafePointSymbols,
  ) {}

  /**
   * Have a standing machine go on until a processor comes to `schedule`, do something there, and let
   * it go on with all registers as they were.
   */
  static async with<T>(
    stub: GdbStub,
    symbols: SafePointSymbols,
    act: (point: SafePoint) => Promise<T>,
  ): Promise<T> {
    const point = await SafePoint.#reach(stub, symbols);
    let called = false;
    try {
      await stub.setBreakpoint(symbols.panic);
      called = true;
      return await act(point);
    } finally {
      await stub.select(point.thread);
      await stub.setRegisters(restored.map((name) => [name, point.#value(name)] as const));
      if (called) await stub.clearBreakpoint(symbols.panic);
      stub.resume();
    }
  }

  static async #reach(stub: GdbStub, symbols: SafePointSymbols): Promise<SafePoint> {
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
        if (isSafe(registers, symbols)) return new SafePoint(stub, thread, registers, symbols);
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

  /** Call a kernel function here; what it returns. Other processors run meanwhile: they may hold a lock. */
  async call(address: bigint, ...parameters: bigint[]): Promise<bigint> {
    const { stub, thread, symbols } = this;
    if (parameters.length > argumentRegisters.length) throw new RangeError('too many arguments');
    await stub.select(thread);
    const stack = ((this.#value('rsp') - stackRoom) & ~15n) - 8n;
    const back = Buffer.alloc(8);
    back.writeBigUInt64LE(symbols.panic);
    await stub.write(stack, back);
    await stub.setRegisters([
      ...parameters.map((value, n) => [argumentRegisters[n] ?? 'rdi', value] as const),
      ['eflags', this.#value('eflags') & ~(EFLAGS_TF | EFLAGS_IF | EFLAGS_DF)],
      ['rsp', stack],
      ['rip', address],
    ]);
    const end = performance.now() + patience.call;
    while (performance.now() < end) {
      stub.resume();
      const stop = await stub.nextStop(patience.call);
      if (stop.thread !== thread) continue; // another processor was at the scheduler just before
      await stub.select(thread);
      const registers = await stub.registers();
      if (registers.get('rip') === symbols.panic) return registers.get('rax') ?? 0n;
    }
    throw new DebloatError('A function called in the guest’s kernel did not return.');
  }

  #value(name: string): bigint {
    return this.registers.get(name) ?? 0n;
  }
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
