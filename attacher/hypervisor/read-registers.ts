import { Refusal } from '../refusal.js';
import { closeDescriptor } from '../../native/linux/event.js';
import { Mapping, pageSize } from '../../native/linux/mapping.js';
import { openProcess, takeDescriptor } from '../../native/linux/process-memory.js';
import { failedWith } from '../../native/linux/system-error.js';
import { signalThread, sleepFor } from '../../native/linux/thread-signal.js';
import { TracedThread } from '../../native/linux/traced-thread.js';
import {
  arePlausible,
  areStored,
  decodeRegisters,
  KvmRun,
  poisonRegisters,
  syncRegisters,
  type Registers,
} from './registers.js';

/** How a vCPU was brought out of the guest for a moment: by itself, by its hypervisor's own signal, by ptrace. */
export type Kick = 'none' | 'signal' | 'ptrace';

/** How long each is waited for, in milliseconds. */
const patience = { none: 1, signal: 20 };
const tick = 0.05;
const attempts = 4;

/**
 * The kernel's page about a vCPU (struct kvm_run), mapped here as well: the hypervisor asks for nothing
 * in it, so we can ask KVM to store the registers there whenever the vCPU leaves the guest. No
 * ptrace and no system call in the hypervisor; what is needed is that the vCPU leaves once.
 *
 * Not for guests with protected state (SEV-ES, TDX): there KVM_RUN fails when registers are asked for.
 */
export class VcpuPage {
  readonly #mapping: Mapping;

  constructor(
    readonly pid: number,
    fd: number,
  ) {
    const pidfd = openProcess(pid);
    try {
      const vcpu = takeDescriptor(pidfd, fd);
      try {
        this.#mapping = Mapping.ofFile(vcpu, { offset: 0, length: pageSize, writable: true });
      } finally {
        closeDescriptor(vcpu);
      }
    } finally {
      closeDescriptor(pidfd);
    }
  }

  /** The page itself: a program may read and set what <linux/kvm.h> says. */
  get view(): DataView {
    return this.#mapping.viewAt(0);
  }

  /** Ask for the registers, as of the next time that the vCPU leaves the guest. */
  arm(): void {
    poisonRegisters(this.view);
    this.view.setBigUint64(KvmRun.validRegisters, syncRegisters, true);
  }

  /** Whether they were stored since. */
  get stored(): boolean {
    return areStored(this.view);
  }

  /** Ask for them no more. */
  disarm(): void {
    this.view.setBigUint64(KvmRun.validRegisters, 0n, true);
  }

  /**
   * The registers when the vCPU, which thread `tid` runs, leaves the guest next; it is made to by
   * `signal` where there is one that its hypervisor uses itself, else by stopping the thread for a moment.
   */
  registers(tid: number, signal: number | undefined): { registers: Registers; kick: Kick } {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const read = this.#isInUse ? this.#whileStopped(tid) : this.#afterKick(tid, signal);
      if (read) return read;
    }
    throw new Refusal('registers', 'the registers of a virtual processor could not be read', {
      hint: 'its thread does not leave the guest when asked to',
    });
  }

  /**
   * Have thread `tid` leave the guest, until `done`: wait for it to do so by itself, then send `signal`,
   * then stop it for a moment. Undefined if it was not in the guest.
   */
  kick(tid: number, signal: number | undefined, done: () => boolean): Kick | undefined {
    if (waitFor(done, patience.none)) return 'none';
    if (signal !== undefined && this.#signal(tid, signal) && waitFor(done, patience.signal)) {
      return 'signal';
    }
    return this.#stopped(tid, done) ? 'ptrace' : undefined;
  }

  close(): void {
    this.#mapping.close();
  }

  /** Whether the hypervisor has registers stored here for itself: what it finds must not be ours then. */
  get #isInUse(): boolean {
    const { view } = this;
    return (
      view.getBigUint64(KvmRun.validRegisters, true) !== 0n ||
      view.getBigUint64(KvmRun.dirtyRegisters, true) !== 0n
    );
  }

  #afterKick(tid: number, signal: number | undefined) {
    this.arm();
    let kick: Kick | undefined;
    try {
      kick = this.kick(tid, signal, () => this.stored);
    } finally {
      this.disarm();
    }
    const registers = kick && this.#settled();
    return kick && registers && { registers, kick };
  }

  /** Registers that the hypervisor asked for: a thread that was stopped in the guest has stored them just before. */
  #whileStopped(tid: number) {
    const asked = this.view.getBigUint64(KvmRun.validRegisters, true) & syncRegisters;
    if (asked !== syncRegisters) return undefined;
    const registers = this.#stopped(tid, () => this.#settled());
    return registers && { registers, kick: 'ptrace' as const };
  }

  #signal(tid: number, signal: number): boolean {
    try {
      signalThread(this.pid, tid, signal);
      return true;
    } catch (error) {
      if (failedWith(error, 'EPERM', 'ESRCH')) return false;
      throw error;
    }
  }

  #stopped<T>(tid: number, action: () => T): T {
    const thread = TracedThread.stop(this.pid, tid, { suspendSeccomp: false });
    try {
      return action();
    } finally {
      thread.resume();
    }
  }

  /** The vCPU may leave the guest again while we read: two equal copies with a pause between are whole. */
  #settled(): Registers | undefined {
    let last = this.#copy();
    for (let tries = 0; tries < 20; tries++) {
      sleepFor(tick);
      const next = this.#copy();
      if (next.equals(last)) {
        const registers = decodeRegisters(new DataView(next.buffer, next.byteOffset, next.length));
        return arePlausible(registers) ? registers : undefined;
      }
      last = next;
    }
    return undefined;
  }

  #copy(): Buffer {
    return Buffer.from(this.#mapping.bytes(0, KvmRun.end));
  }
}

/** Whether `done` comes true in so many milliseconds. */
function waitFor(done: () => boolean, milliseconds: number): boolean {
  const end = performance.now() + milliseconds;
  while (!done()) {
    if (performance.now() > end) return false;
    sleepFor(tick);
  }
  return true;
}
