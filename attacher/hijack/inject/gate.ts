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
  count: 0x20,
  waiting: 0x24,
  deputy: 0x28,
  calls: 0x40,
  parameters: 0x400,
  /** Of a deputy, which needs eight bytes of it. */
  stack: 0xfc0,
};
/** Offsets in one of the calls. */
const Call = { number: 0, arguments: 8, result: 56, size: 64 };
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

/** Calls that may be made in one go. */
const mostCalls = 8;

/** A system call to be made in a hypervisor. */
export interface GateCall {
  name: string;
  /** x86-64's. */
  number: number;
  /** `pointer`: where the parameters are. */
  args: (number | bigint | 'pointer')[];
  parameters?: Uint8Array | undefined;
}

/** What came of it, and its parameters as it left them. */
export interface GateAnswer {
  result: number;
  parameters: Uint8Array;
}

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
   * Have the thread at the gate make calls, one after the other; their answers. Throws SystemError for
   * the first that fails, after which none is made: ETIMEDOUT if the thread has gone back.
   */
  call(calls: readonly GateCall[]): GateAnswer[] {
    let room: number = Page.parameters;
    const places = calls.map(({ number, args, parameters }, index) => {
      const place = room;
      if (parameters) this.#page.set(parameters, place);
      room += Math.ceil((parameters?.length ?? 0) / 8) * 8;
      const pointer = BigInt(this.remoteAddress + place);
      const call = Page.calls + index * Call.size;
      this.#view.setBigUint64(call + Call.number, BigInt(number), true);
      for (let n = 0; n < 6; n++) {
        const arg = args[n] ?? 0;
        const value = arg === 'pointer' ? pointer : BigInt.asUintN(64, BigInt(arg));
        this.#view.setBigUint64(call + Call.arguments + n * 8, value, true);
      }
      return place;
    });
    if (calls.length > mostCalls || room > Page.stack) throw new RangeError('calls too long');
    this.#view.setUint32(Page.count, calls.length, true);
    const made = this.#complete(State.call);
    return calls.map(({ name, parameters }, index) => {
      const result = made ? this.#result(index) : -constants.errno.ETIMEDOUT;
      if (result < 0 && result > -4096) throw new SystemError(name, -result);
      const place = places[index] ?? 0;
      const length = parameters?.length ?? 0;
      return { result, parameters: this.#page.slice(place, place + length) };
    });
  }

  /**
   * Have the thread at the gate make another one of its process, which makes all calls from here on,
   * and go back itself. False if there can be no more threads: it stays then.
   */
  deputize(): boolean {
    this.#wait(deputyPatience);
    if (this.#complete(State.deputize) && this.#result(0) > 0) return true;
    this.#wait(threadPatience);
    return false;
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

  /** Have the thread at the gate do something; false if it has gone back, or does not come to an end. */
  #complete(state: number): boolean {
    const completed = this.#load(Page.completed);
    return this.#post(state) && this.#changes(Page.completed, completed);
  }

  /** Of a call, by its index; of a new deputy. */
  #result(index: number): number {
    return Number(this.#view.getBigInt64(Page.calls + index * Call.size + Call.result, true));
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
