import { constants } from 'node:os';
import { processId } from './integers.js';
import { bind, bindRaw } from './libc.js';
import { pause } from './pause.js';
import { Mapping } from './mapping.js';
import { failedWith, SystemError } from './system-error.js';
import { UserRegisters, userRegistersSize } from './user-registers.js';

const ptrace = bind('ptrace', 'int64 ptrace(int64, int64, uint64, uint64)');
const rawWaitpid = bindRaw('int waitpid(int, uint64, int)');
const rawTgkill = bindRaw('int tgkill(int, int, int)');

/** <linux/ptrace.h>. */
const PTRACE_CONT = 7;
const PTRACE_GETREGS = 12;
const PTRACE_SETREGS = 13;
const PTRACE_DETACH = 17;
const PTRACE_SYSCALL = 24;
const PTRACE_SETOPTIONS = 0x4200;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
const PTRACE_GETSIGMASK = 0x420a;
const PTRACE_O_TRACESYSGOOD = 1;
const PTRACE_O_SUSPEND_SECCOMP = 1 << 21;
const PTRACE_EVENT_STOP = 128;

/** The signal of a stop at a system call, with PTRACE_O_TRACESYSGOOD. */
const systemCallStop = constants.signals.SIGTRAP | 0x80;

const WNOHANG = 1;
const __WALL = 0x40000000;

/** How long a thread may take to stop, in milliseconds: one in an uninterruptible sleep takes for ever. */
const patience = 2000;
/** How long a system call may take: taking an interrupt line from a VM was once seen to take more than 2 s. */
const callPatience = 10_000;
/** Looks without a pause: a stop takes some tens of microseconds. */
const eagerLooks = 60;

/** Where ptrace(2) and waitpid(2) put their answers; a stop is no time to map memory. */
let scratch: Mapping | undefined;

/**
 * One thread of another process, stopped by ptrace(2). All calls must come from the thread of ours
 * that made it. If we die the kernel lets it go on with the registers that it has then.
 */
export class TracedThread {
  readonly #scratch = (scratch ??= Mapping.anonymous(4096));
  readonly #view = this.#scratch.viewAt(0);
  /** Signals that came meanwhile and belong to the thread. */
  readonly #pending: number[] = [];

  private constructor(
    readonly pid: number,
    readonly tid: number,
  ) {}

  /**
   * Attach to the thread `tid` of process `pid` and stop it. `suspendSeccomp`: its filters rest meanwhile (needs CAP_SYS_ADMIN).
   * Throws SystemError: EPERM without CAP_SYS_PTRACE or where another tracer has it, ESRCH, ETIMEDOUT.
   */
  static stop(pid: number, tid: number, options: { suspendSeccomp: boolean }): TracedThread {
    const thread = new TracedThread(processId(pid), processId(tid));
    ptrace(PTRACE_SEIZE, tid, 0, 0);
    try {
      ptrace(PTRACE_INTERRUPT, tid, 0, 0);
      thread.#waitForStop(PTRACE_CONT, (event) => event === PTRACE_EVENT_STOP);
      const seccomp = options.suspendSeccomp ? PTRACE_O_SUSPEND_SECCOMP : 0;
      ptrace(PTRACE_SETOPTIONS, tid, 0, PTRACE_O_TRACESYSGOOD | seccomp);
    } catch (error) {
      thread.resume();
      throw error;
    }
    return thread;
  }

  registers(): UserRegisters {
    ptrace(PTRACE_GETREGS, this.tid, 0, this.#scratch.address);
    const words = new BigUint64Array(userRegistersSize / 8);
    new Uint8Array(words.buffer).set(this.#scratch.bytes(0, userRegistersSize));
    return new UserRegisters(words);
  }

  setRegisters(registers: UserRegisters): void {
    this.#scratch.bytes(0, userRegistersSize).set(new Uint8Array(registers.words.buffer));
    ptrace(PTRACE_SETREGS, this.tid, 0, this.#scratch.address);
  }

  /** The signals that the thread blocks, a bit each (sigset_t). */
  signalMask(): bigint {
    ptrace(PTRACE_GETSIGMASK, this.tid, 8, this.#scratch.address);
    return this.#view.getBigUint64(0, true);
  }

  /**
   * Have it make the system call that its registers lead to; it stands behind the call afterwards.
   * Not by single steps: the trap flag would outlive us in the thread, and kill it.
   */
  throughSystemCall(): void {
    for (let stop = 0; stop < 2; stop++) {
      ptrace(PTRACE_SYSCALL, this.tid, 0, 0);
      this.#waitForStop(
        PTRACE_SYSCALL,
        (event, signal) => event === 0 && signal === systemCallStop,
        callPatience,
      );
    }
  }

  /** Let it go on, with a signal that came for it. It is not ours afterwards. */
  resume(): void {
    const [first = 0, ...others] = this.#pending;
    try {
      ptrace(PTRACE_DETACH, this.tid, 0, first);
      for (const signal of others) rawTgkill(this.pid, this.tid, signal);
    } catch (error) {
      if (!failedWith(error, 'ESRCH')) throw error; // it has ended
    }
  }

  /** Wait for a stop of the kind wanted; other signals are kept for later, other stops passed over. */
  #waitForStop(
    goOn: number,
    wanted: (event: number, signal: number) => boolean,
    milliseconds = patience,
  ): void {
    const end = performance.now() + milliseconds;
    for (let looks = 0; ; looks++) {
      const result = rawWaitpid(this.tid, this.#scratch.address + 2048, WNOHANG | __WALL);
      if (result < 0) throw new SystemError('waitpid', -result);
      if (result === 0) {
        if (performance.now() > end) throw new SystemError('waitpid', constants.errno.ETIMEDOUT);
        // The thread that we wait for may need this very processor.
        if (looks > eagerLooks) pause(20);
        continue;
      }
      const status = this.#view.getUint32(2048, true);
      // wait(2): 0x7f in the low byte is a stop, its signal the next byte, ptrace's event above.
      if ((status & 0xff) !== 0x7f) throw new SystemError('ptrace', constants.errno.ESRCH);
      const signal = (status >>> 8) & 0xff;
      const event = status >>> 16;
      if (wanted(event, signal)) return;
      if (event === 0) this.#pending.push(signal);
      ptrace(goOn, this.tid, 0, 0);
    }
  }
}
