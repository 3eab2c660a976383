import { constants } from 'node:os';
import { waitForChange, wakeWaiters } from '../../../native/linux/futex.js';
import { SystemError } from '../../../native/linux/system-error.js';

/** Offsets in the gate's page (native/hypervisor/gate.S). */
const Page = {
  state: 0x00,
  completed: 0x04,
  sleeping: 0x08,
  left: 0x0c,
  timeout: 0x10,
  number: 0x20,
  arguments: 0x28,
  result: 0x58,
  waiting: 0x60,
  deputy: 0x64,
  parameters: 0x400,
  /** Of a deputy, which needs eight bytes of it. */
  stack: 0xfc0,
};
const State = { nothing: 0, call: 1, leave: 2, deputize: 3 };

/** How long a thread waits at the gate for the next call before it goes back, in nanoseconds. */
const threadPatience = 200_000_000n;
/** After so many milliseconds none is there that waits for somebody who was killed. */
export const gateSettles = 300;
/** A deputy keeps nobody waiting, and may be told to end by whoever comes after us: on a busy host it may be long until we go on. */
const deputyPatience = 999_999_999n;
/** How long a call may take, in milliseconds (see native/linux/traced-thread.ts). */
const patience = 10_000;

/** At which the other side is looked at even if it says nothing: it may have ended. */
const longestWait = 100;
/** So long it is looked at without a pause, in milliseconds: most calls take less, and to be woken takes longer. */
const eagerness = 0.03;

/** Bytes of parameters that a call may have. */
export const gateParameterRoom = Page.stack - Page.parameters;

/**
 * Our side of the gate: a page shared with the hypervisor, in which one of its threads finds the
 * system calls it shall make. No ptrace is involved, so a call costs what it costs.
 */
export class Gate {
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #page: Uint8Array;

  /**
   * `page`: 4096 bytes that are mapped here at `localAddress` and in the hypervisor at
   * `remoteAddress`; `code` is where the gate's instructions are there.
   */
  constructor(
    page: Uint8Array,
    readonly localAddress: number,
    readonly remoteAddress: number,
    readonly code: number,
  ) {
    this.#page = page;
    this.#view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    this.#words = new Int32Array(page.buffer, page.byteOffset, page.byteLength / 4);
  }

  /** Make ready for a thread that will come. */
  open(): void {
    this.#page.fill(0, 0, Page.parameters);
    this.#wait(threadPatience);
  }

  /**
   * Have the thread at the gate make a call; its result. `parameters` are put where `pointer` among
   * `args` points to. Throws SystemError named `name`: ETIMEDOUT if the thread has gone back.
   */
  call(
    name: string,
    number: number,
    args: (number | bigint | 'pointer')[],
    parameters?: Uint8Array,
  ): number {
    if (parameters && parameters.length > gateParameterRoom)
      throw new RangeError('parameters too long');
    const pointer = BigInt(this.remoteAddress + Page.parameters);
    if (parameters) this.#page.set(parameters, Page.parameters);
    this.#view.setBigUint64(Page.number, BigInt(number), true);
    for (let n = 0; n < 6; n++) {
      const arg = args[n] ?? 0;
      const value = arg === 'pointer' ? pointer : BigInt.asUintN(64, BigInt(arg));
      this.#view.setBigUint64(Page.arguments + n * 8, value, true);
    }
    const result = this.#result(State.call);
    if (result === undefined) throw new SystemError(name, constants.errno.ETIMEDOUT);
    if (result < 0 && result > -4096) throw new SystemError(name, -result);
    return result;
  }

  /**
   * Have the thread at the gate make another one of its process, which makes all calls from here on,
   * and go back itself. False if there can be no more threads: it stays then.
   */
  deputize(): boolean {
    this.#wait(deputyPatience);
    const result = this.#result(State.deputize);
    if (result !== undefined && result > 0) return true;
    this.#wait(threadPatience);
    return false;
  }

  /** The parameters of the last call, as it left them. */
  parameters(length: number): Uint8Array {
    return this.#page.slice(Page.parameters, Page.parameters + length);
  }

  /** Whether there is a deputy: ours, or that of a session that was killed. */
  get hasDeputy(): boolean {
    return this.#load(Page.deputy) !== 0;
  }

  /** Let the thread go back to where it was, and see that it is on its way; a deputy, that it has ended. */
  close(): void {
    this.#post(State.leave);
    this.#changes(Page.left, 0);
    const deputy = this.#load(Page.deputy);
    if (deputy !== 0) this.#changes(Page.deputy, deputy);
  }

  #wait(nanoseconds: bigint): void {
    this.#view.setBigUint64(Page.timeout + 8, nanoseconds, true);
  }

  /** Have the thread at the gate do something; what came of it, undefined if it has gone back or never ends. */
  #result(state: number): number | undefined {
    const completed = this.#load(Page.completed);
    if (!this.#post(state) || !this.#changes(Page.completed, completed)) return undefined;
    return Number(this.#view.getBigInt64(Page.result, true));
  }

  /** False if the thread has gone back already. */
  #post(state: number): boolean {
    const found = Atomics.compareExchange(this.#words, Page.state / 4, State.nothing, state);
    if (found !== State.nothing) return false;
    if (this.#load(Page.sleeping) !== 0) wakeWaiters(this.localAddress + Page.state);
    return true;
  }

  #load(offset: number): number {
    return Atomics.load(this.#words, offset / 4);
  }

  /** Wait for a word to be no longer `value`; false if it stays so for too long. */
  #changes(offset: number, value: number): boolean {
    const begun = performance.now();
    do {
      if (this.#load(offset) !== value) return true;
    } while (performance.now() < begun + eagerness);
    // The thread that we wait for may need this very processor.
    const end = begun + patience;
    Atomics.store(this.#words, Page.waiting / 4, 1);
    while (this.#load(offset) === value && performance.now() < end) {
      waitForChange(this.localAddress + offset, value, longestWait);
    }
    Atomics.store(this.#words, Page.waiting / 4, 0);
    return this.#load(offset) !== value;
  }
}
