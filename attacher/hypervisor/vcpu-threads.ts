import { sleepFor } from '../../native/linux/thread-signal.js';
import { threads, type OpenFile, type ThreadState } from './procfs.js';

/** A virtual processor: its descriptor in the hypervisor, and the thread that runs it. */
export interface Vcpu {
  /** Its number, as KVM has it. */
  index: number;
  fd: number;
  /** 0 while no thread was seen to run it. */
  tid: number;
}

/** ioctl(fd, KVM_RUN) on x86-64. */
const SYS_ioctl = 16;
const KVM_RUN = 0xae80;

/**
 * PF_KTHREAD, PF_USER_WORKER and PF_IO_WORKER (include/linux/sched.h): a helper of the kernel inside
 * the process shows the same call as the vCPU thread that it was started from, but never makes it.
 */
const workerFlags = 0x20_4010;

/** How often threads are looked at, and how long in between, in milliseconds, before one counts as not running a vCPU. */
const looks = 25;
const pause = 2;

/** So many looks are enough where as many threads run all the time as vCPUs are missing: it is they. */
const fewLooks = 4;

/** The vCPU descriptors among `files`, each once, in the order of their numbers. */
export function vcpuFiles(files: readonly OpenFile[]): Vcpu[] {
  const found = new Map<number, Vcpu>();
  for (const { fd, target } of files) {
    const match = /^anon_inode:\[?kvm-vcpu(?::(\d+))?\]?$/.exec(target);
    if (match === null) continue;
    // Kernels before 4.18 do not tell the number; descriptors are in the order they were made in.
    const index = match[1] === undefined ? found.size : Number(match[1]);
    if (!found.has(index)) found.set(index, { index, fd, tid: 0 });
  }
  return [...found.values()].sort((a, b) => a.index - b.index);
}

/** Threads that can be vCPU threads: not the kernel's own, not ended. */
export function candidateThreads(pid: number): ThreadState[] {
  return threads(pid).filter(({ flags, state }) => (flags & workerFlags) === 0 && state !== 'Z');
}

/** The vCPU descriptor that a thread is seen to run; undefined if it is seen doing something else. */
export function descriptorRunBy({ call }: Pick<ThreadState, 'call'>): number | undefined {
  if (call?.number !== SYS_ioctl || call.arguments[1] !== KVM_RUN) return undefined;
  return call.arguments[0];
}

/**
 * Fill in the threads of `vcpus` by what they are seen to do. A thread that runs all the time shows no
 * system call: those seen running that no vCPU is known of are returned.
 */
export function findVcpuThreads(pid: number, vcpus: readonly Vcpu[]): number[] {
  const busy = new Set<number>();
  for (let look = 0; look < looks; look++) {
    const missing = vcpus.filter(({ tid }) => tid === 0).length;
    if (missing === 0 || (look >= fewLooks && busy.size >= missing)) break;
    if (look > 0) sleepFor(pause);
    for (const thread of candidateThreads(pid)) {
      const fd = descriptorRunBy(thread);
      const vcpu = vcpus.find((each) => each.fd === fd && each.tid === 0);
      if (vcpu) {
        vcpu.tid = thread.tid;
        busy.delete(thread.tid);
      } else if (thread.state === 'R' && !vcpus.some(({ tid }) => tid === thread.tid)) {
        busy.add(thread.tid);
      }
    }
  }
  return [...busy];
}
