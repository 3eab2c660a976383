import { Refusal } from '../refusal.js';
import { closeDescriptor } from '../../native/linux/event.js';
import { Mapping, pageSize } from '../../native/linux/mapping.js';
import { openProcess, takeDescriptor } from '../../native/linux/process-memory.js';
import { failedWith } from '../../native/linux/system-error.js';
import { pauseThread } from '../../native/linux/thread-pause.js';
import { signalThread, sleepFor } from '../../native/linux/thread-signal.js';
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
      this.arm();
      try {
        const kick = this.#wait(patience.none)
          ? 'none'
          : signal !== undefined && this.#bySignal(tid, signal)
            ? 'signal'
            : this.#byPtrace(tid);
        if (kick === undefined) continue;
        const registers = this.#settled();
        if (registers) return { registers, kick };
      } finally {
        this.disarm();
      }
    }
    throw new Refusal('registers', 'the registers of a virtual processor could not be read', {
      hint: 'its thread does not leave the guest when asked to; is the virtual machine paused?',
    });
  }

  close(): void {
    this.#mapping.close();
  }

  #bySignal(tid: number, signal: number): boolean {
    try {
      signalThread(this.pid, tid, signal);
    } catch (error) {
      if (failedWith(error, 'EPERM', 'ESRCH')) return false;
      throw error;
    }
    return this.#wait(patience.signal);
  }

  #byPtrace(tid: number): Kick | undefined {
    return pauseThread(tid, () => this.stored) === true ? 'ptrace' : undefined;
  }

  #wait(milliseconds: number): boolean {
    const end = performance.now() + milliseconds;
    while (!this.stored) {
      if (performance.now() > end) return false;
      sleepFor(tick);
    }
    return true;
  }

  /** The vCPU may leave the guest again while we read: two equal copies with a pause between are whole. */
  #settled(): Registers | undefined {
    this.disarm();
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
