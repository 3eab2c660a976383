import { Refusal } from '../refusal.js';
import type { HypervisorKind } from './kinds.js';
import { statusField } from './procfs.js';
import { callOf } from './procfs.js';
import { candidateThreads, descriptorRunBy, type Vcpu } from './vcpu-threads.js';

/** The first of a hypervisor's own signals to its vCPU threads that thread `tid` has a handler for. */
export function kickSignal(kind: HypervisorKind, pid: number, tid: number): number | undefined {
  const caught = BigInt(`0x${statusField(`/proc/${pid}/task/${tid}`, 'SigCgt') ?? '0'}`);
  return kind.kickSignals.find((signal) => ((caught >> BigInt(signal - 1)) & 1n) === 1n);
}

/** Whether a thread is stopped, by a signal or a tracer. */
export function isStopped(pid: number, tid: number): boolean {
  return /^[Tt]/.test(statusField(`/proc/${pid}/task/${tid}`, 'State') ?? '');
}

/** Whether the thread of `vcpu` runs it now, as far as can be seen: on a processor, or in KVM_RUN. */
export function isRunning(pid: number, vcpu: Vcpu): boolean {
  const thread = candidateThreads(pid).find(({ tid }) => tid === vcpu.tid);
  if (thread === undefined) return false;
  return thread.state === 'R' || descriptorRunBy(thread) === vcpu.fd;
}

/**
 * Whether the thread of `vcpu` waits within KVM_RUN, as it does while its guest is in HLT. A look at
 * procfs, which disturbs nobody.
 */
export function isIdle(pid: number, { tid, fd }: Vcpu): boolean {
  return descriptorRunBy({ call: callOf(pid, tid) }) === fd;
}

/** Why no vCPU of a process runs. */
export function whyPaused(pid: number): Refusal {
  const tracer = statusField(`/proc/${pid}`, 'TracerPid') ?? '0';
  const stopped = candidateThreads(pid).some(({ state }) => state === 'T');
  const why =
    tracer !== '0'
      ? `process ${tracer} traces it`
      : stopped
        ? `its process ${pid} was stopped by a signal`
        : 'no thread runs its virtual processors';
  return new Refusal('paused', `the virtual machine is paused: ${why}`, {
    hint: 'let it go on, then try again',
  });
}
