import { matchBusyThreads } from './busy-threads.js';
import { kindOf } from './kinds.js';
import { programName } from './procfs.js';
import { kickSignal } from './thread-state.js';
import { findVcpuThreads, type Vcpu } from './vcpu-threads.js';

/**
 * Fill in the threads of those `vcpus` of process `pid` whose thread is not known: by what they are
 * seen to do, and those that never wait by making them leave the guest for a moment. On a busy host some
 * may not be found at once.
 */
export function assignThreads(pid: number, vcpus: readonly Vcpu[]): void {
  const kind = kindOf(programName(pid));
  const busy = findVcpuThreads(pid, vcpus);
  if (busy.length > 0) matchBusyThreads(pid, vcpus, busy, (tid) => kickSignal(kind, pid, tid));
}
