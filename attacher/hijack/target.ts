import { openProcess, takeDescriptor } from '../../native/linux/process-memory.js';
import { closeDescriptor } from '../../native/linux/event.js';
import { readMemoryMap } from '../../native/linux/memory-map.js';
import { RemoteMemory } from '../../native/linux/remote-memory.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { statusField, threads } from '../hypervisor/procfs.js';
import type { PhysicalMemory } from '../guest/index.js';
import { assignThreads, type Vcpu, type VirtualMachine } from '../hypervisor/index.js';
import { comeFirst, standBack } from '../priority.js';
import type { Gate } from './inject/gate.js';
import { findGadgets } from './inject/gadgets.js';
import { restOptimizer, resumeOptimizer } from './optimizer.js';
import { StoppedThread, type Injection } from './inject/stopped-thread.js';

/** How often threads that are not known yet are looked for, in milliseconds. */
const searchInterval = 100;

/** How long to try to find a vCPU running, in milliseconds. */
const patience = 5000;

/** A virtual machine as a hijack sees it: its process, in which system calls can be made. */
export class HijackTarget implements Disposable {
  /**
   * All the time that threads of the hypervisor stood for us, in milliseconds; what it took to stop
   * them is in it, and those that were let go at once.
   */
  stopped = 0;
  /** The quick way for calls, once there is one. */
  gate: Gate | undefined;
  readonly #injection: Injection;
  readonly #pidfd: number;
  /** vCPUs whose threads were sent to the gate, and told us that they go, but were not seen elsewhere yet. */
  readonly #leaving = new Set<Vcpu>();
  #searched = -searchInterval;

  /** Throws DebloatError where calls cannot be made in the process. */
  static of({ pid, vmFd, vcpus, memory }: VirtualMachine): HijackTarget {
    return new HijackTarget(pid, vmFd, vcpus, memory);
  }

  private constructor(
    readonly pid: number,
    readonly vmFd: number,
    readonly vcpus: readonly Vcpu[],
    readonly memory: PhysicalMemory,
  ) {
    const remote = new RemoteMemory(pid);
    const gadgets = findGadgets(readMemoryMap(pid), (at, length) => remote.read(at, length));
    if (gadgets === undefined) {
      remote.close();
      throw new DebloatError(`No system call can be made in process ${pid}: its code has none.`);
    }
    this.#injection = { pid, memory: remote, gadgets, filtered: hasSeccompFilter(pid) };
    this.#pidfd = openProcess(pid);
  }

  /** Our duplicate of a descriptor of the hypervisor's (pidfd_getfd(2)). */
  take(fd: number): number {
    return takeDescriptor(this.#pidfd, fd);
  }

  /** Stop this vCPU if it is running just now, do something with it, and let it go on. `byGate`: if there is one. */
  tryStopped<T>(
    vcpu: Vcpu,
    act: (thread: StoppedThread) => T,
    { byGate } = { byGate: true },
  ): { result: T } | undefined {
    if (vcpu.tid === 0) this.#search();
    if (vcpu.tid === 0) return undefined;
    restOptimizer();
    comeFirst();
    const begun = performance.now();
    let wentOn: number | undefined;
    try {
      const thread = StoppedThread.stop(this.#injection, vcpu.tid, vcpu.fd);
      if (thread === undefined) return undefined;
      this.#leaving.delete(vcpu);
      try {
        if (byGate && this.gate) thread.passTo(this.gate);
        return { result: act(thread) };
      } finally {
        wentOn = thread.resume();
        if (thread.wasAtGate) this.#leaving.add(vcpu);
      }
    } finally {
      this.stopped += (wentOn ?? performance.now()) - begun;
      standBack();
      resumeOptimizer();
    }
  }

  /** The same with whichever vCPU is running. Throws DebloatError if none is for some seconds. */
  async whileStopped<T>(act: (thread: StoppedThread) => T): Promise<T> {
    return this.#whileAnyStopped(this.vcpus, act);
  }

  /**
   * The same when no thread is at the gate any more, so that it can be taken away: the last that they
   * do there comes after they have told us that they go.
   */
  async whileDeserted<T>(act: (thread: StoppedThread) => T): Promise<T> {
    this.gate = undefined;
    const [one, ...others] = this.#leaving;
    for (const vcpu of others) await this.#whileAnyStopped([vcpu], () => undefined);
    return this.#whileAnyStopped(one ? [one] : this.vcpus, act);
  }

  async #whileAnyStopped<T>(vcpus: readonly Vcpu[], act: (thread: StoppedThread) => T): Promise<T> {
    const end = performance.now() + patience;
    for (;;) {
      for (const vcpu of vcpus) {
        const done = this.tryStopped(vcpu, act);
        if (done) return done.result;
      }
      if (performance.now() > end) {
        throw new DebloatError(`No processor of the virtual machine ${this.pid} is running.`, {
          hint: 'it is paused, or on its way elsewhere: let it go on, and try again',
        });
      }
      await sleep(2);
    }
  }

  /** A busy host may have hidden a vCPU's thread from us when we came. */
  #search(): void {
    const now = performance.now();
    if (now - this.#searched < searchInterval) return;
    assignThreads(this.pid, this.vcpus);
    this.#searched = performance.now();
  }

  [Symbol.dispose](): void {
    this.#injection.memory.close();
    closeDescriptor(this.#pidfd);
  }
}

/** Whether any of the process's threads has seccomp filters (proc(5), field Seccomp: 2). */
function hasSeccompFilter(pid: number): boolean {
  return threads(pid).some(
    ({ tid }) => statusField(`/proc/${pid}/task/${tid}`, 'Seccomp')?.trim() === '2',
  );
}
