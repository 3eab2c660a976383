import { SystemError } from '../../../native/linux/system-error.js';
import type { RemoteMemory } from '../../../native/linux/remote-memory.js';
import { TracedThread } from '../../../native/linux/traced-thread.js';
import type { UserRegisters } from '../../../native/linux/user-registers.js';
import {
  callFrame,
  frameAddress,
  parameterAddress,
  parameterRoom,
  signalFrame,
} from './call-frame.js';
import type { Gate, GateCall } from './gate.js';
import type { Gadgets } from './gadgets.js';

const NR_ioctl = 16n;
const EINTR = 4n;
const KVM_RUN = 0xae80n;

/** What makes calls in a process possible: its memory and its gadgets. */
export interface Injection {
  pid: number;
  memory: RemoteMemory;
  gadgets: Gadgets;
  /** Whether the process has seccomp filters, which must rest meanwhile. */
  filtered: boolean;
}

/** A vCPU thread stopped inside KVM_RUN, in which system calls can be made on its process's behalf. */
export class StoppedThread {
  readonly #thread: TracedThread;
  readonly #injection: Injection;
  readonly #saved: UserRegisters;
  readonly #mask: bigint;
  /** The way back, the same for every call, is in the thread's memory. */
  #prepared = false;
  /** Where the thread is now, or its deputy; it is traced no more. */
  #gate: Gate | undefined;
  /** When it went on, if it has already. */
  #wentOn: number | undefined;

  private constructor(thread: TracedThread, injection: Injection, saved: UserRegisters) {
    this.#thread = thread;
    this.#injection = injection;
    this.#saved = saved;
    this.#mask = thread.signalMask();
  }

  /** A thread that is stopped already, wherever it is. */
  static of(thread: TracedThread, injection: Injection, saved: UserRegisters): StoppedThread {
    return new StoppedThread(thread, injection, saved);
  }

  /**
   * Stop the vCPU thread `tid`; undefined (and it goes on) if it was not running its vCPU just now:
   * outside of KVM_RUN a call of ours might disturb one of its own. Throws SystemError.
   */
  static stop(injection: Injection, tid: number, vcpuFd: number): StoppedThread | undefined {
    const thread = TracedThread.stop(injection.pid, tid, { suspendSeccomp: injection.filtered });
    try {
      const saved = thread.registers();
      const interrupted =
        saved.get('orig_rax') === NR_ioctl &&
        saved.get('rax') === BigInt.asUintN(64, -EINTR) &&
        saved.get('rdi') === BigInt(vcpuFd) &&
        (saved.get('rsi') & 0xffffffffn) === KVM_RUN;
      if (interrupted) return new StoppedThread(thread, injection, saved);
    } catch (error) {
      thread.resume();
      throw error;
    }
    thread.resume();
    return undefined;
  }

  /**
   * Make system call `number` (x86-64) in the process; its result. `parameters` are put into its
   * memory first: `pointer` is where, to be used among `args`. Throws SystemError named `name`.
   */
  call(
    name: string,
    number: number,
    args: (number | bigint | 'pointer')[],
    parameters?: Uint8Array,
  ): number {
    if (this.#gate) return this.#gate.call([{ name, number, args, parameters }])[0]?.result ?? 0;
    if (parameters && parameters.length > parameterRoom)
      throw new RangeError('parameters too long');
    const { memory, gadgets } = this.#injection;
    const at = parameterAddress(this.#saved);
    const values = args.map((arg) => (arg === 'pointer' ? BigInt(at) : BigInt(arg)));
    const frame = callFrame(gadgets, this.#saved, this.#mask, number, values);
    if (parameters) memory.write(at, parameters);
    if (!this.#prepared) memory.write(frame.address, frame.bytes);
    this.#prepared = true;
    this.#thread.setRegisters(frame.registers);
    // Where this fails it does not stand: it is in the call still, and goes back by itself afterwards.
    this.#thread.throughSystemCall();
    const result = BigInt.asIntN(64, this.#thread.registers().get('rax'));
    this.#thread.setRegisters(this.#saved);
    if (result < 0n && result > -4096n) throw new SystemError(name, Number(-result));
    return Number(result);
  }

  /**
   * Calls one after the other, at the gate in one go; their parameters as they are afterwards. Throws
   * SystemError for the first that fails.
   */
  ask(calls: readonly GateCall[]): Uint8Array[] {
    if (this.#gate) return this.#gate.call(calls).map(({ parameters }) => parameters);
    return calls.map(({ name, number, args, parameters }) => {
      this.call(name, number, args, parameters);
      return this.#injection.memory.read(parameterAddress(this.#saved), parameters?.length ?? 0);
    });
  }

  /**
   * Go on by the gate: the thread is sent there, and is not traced from then on. Not where it has
   * filters of system calls, which rest only while it is traced, nor where a deputy never came back.
   */
  passTo(gate: Gate): void {
    const { memory, filtered } = this.#injection;
    if (filtered || this.#gate || gate.hasDeputy) return;
    gate.open();
    const frame = signalFrame(this.#saved, this.#mask);
    memory.write(frame.address, frame.bytes);
    this.#thread.setRegisters(
      this.#saved.with({
        rip: BigInt(gate.code),
        rsp: BigInt(frameAddress(frame)),
        rbx: BigInt(gate.remoteAddress),
        r12: 0n,
        orig_rax: -1n,
      }),
    );
    this.#thread.resume();
    this.#gate = gate;
  }

  /**
   * Let the thread go on already, and a new one of its process make the calls that follow: those on a
   * vCPU would wait for it. Where there is no gate, or there can be no more threads, it stays.
   */
  deputize(): void {
    if (this.#gate?.deputize() === true) this.#wentOn = performance.now();
  }

  /** Whether it was sent to a gate. */
  get wasAtGate(): boolean {
    return this.#gate !== undefined;
  }

  /** Let the thread go on; when it did (performance.now()). */
  resume(): number {
    if (this.#gate) this.#gate.close();
    else this.#thread.resume();
    return this.#wentOn ?? performance.now();
  }
}
