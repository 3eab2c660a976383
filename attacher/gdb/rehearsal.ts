import type { Journal, GdbRecord } from './journal.js';
import { encodeRegister } from './register-layout.js';
import { SafePoint, type PointStub, type SafePointSymbols } from './safe-point.js';

/** How often: a function that was called some times is no longer compiled while the machine stands. */
const rounds = 5;

/**
 * Go through the calls at a safe point with a stub and a journal that do nothing. A machine stands for
 * as long as we take between a stub's answer and our next question, and most of that is what our own
 * code needs the first time that it runs.
 */
export async function rehearse(
  registers: ReadonlyMap<string, bigint>,
  symbols: SafePointSymbols,
  record: GdbRecord,
): Promise<void> {
  const journal: Pick<Journal, 'note' | 'record'> = {
    record,
    note: (changes) => void JSON.stringify({ ...record, ...changes }),
  };
  for (let round = 0; round < rounds; round++) {
    await SafePoint.with(new SilentStub(registers, symbols), symbols, journal, async (point) => {
      await point.call(symbols.freePages, [1n, 2n], { changes: {}, prepare: () => undefined });
      await (round % 2 === 0 ? point.leaveInto(1n, {}) : point.leaveBy(1n, [1n], {}));
    });
  }
}

/** A machine whose only processor is at `schedule`, and at once behind each call. */
class SilentStub implements PointStub {
  #rip: bigint;

  constructor(
    readonly values: ReadonlyMap<string, bigint>,
    readonly symbols: SafePointSymbols,
  ) {
    this.#rip = symbols.schedule;
  }

  together<T>(send: () => T): T {
    return send();
  }
  pass<T>(send: () => Promise<T>): Promise<T> {
    return send();
  }
  resume(): void {
    this.#rip = this.symbols.panic;
  }
  registers(): Promise<Map<string, bigint>> {
    const inKernel = [
      ['rip', this.#rip],
      ['cs', 0x10n],
      ['eflags', 0x202n],
    ] as const;
    return Promise.resolve(new Map([...this.values, ...inKernel]));
  }
  nextStop() {
    return Promise.resolve({ signal: 5, thread: '01' });
  }
  step() {
    return this.nextStop();
  }
  select = () => Promise.resolve();
  stand = () => Promise.resolve();
  setRegisters(values: Iterable<readonly [string, bigint]>) {
    for (const [, value] of values) encodeRegister({ number: 0, offset: 0, size: 8 }, value);
    return Promise.resolve();
  }
  setBreakpoint = () => Promise.resolve();
  clearBreakpoint = () => Promise.resolve();
  write = () => Promise.resolve();
}
