import { failedWith } from '../../native/linux/system-error.js';
import { hypervisorKinds, kindOf } from './kinds.js';
import { openFiles, processes, programName } from './procfs.js';
import { vcpuFiles } from './vcpu-threads.js';
import { isVirtualMachine } from './virtual-machine.js';

export type { InterruptController } from './kinds.js';
export { openVirtualMachine, VirtualMachine } from './virtual-machine.js';
export { hasCapability } from './privilege.js';
export { isIdle, isRunning } from './thread-state.js';
export { statusField } from './procfs.js';
export { assignThreads } from './assign-threads.js';
export type { Vcpu } from './vcpu-threads.js';
export type { Registers, Segment } from './registers.js';
export type { ProcessMemory, ProcessRegion } from '../guest/memory/process-memory.js';

/** A process that runs a virtual machine. */
export interface RunningMachine {
  pid: number;
  /** Of its hypervisor. */
  name: string;
  /** Undefined where we may not look: it is one by its program's name. */
  vcpus: number | undefined;
}

/** All virtual machines here, in the order of their processes. */
export function findVirtualMachines(): RunningMachine[] {
  return processes().flatMap((pid): RunningMachine[] => {
    const program = programName(pid);
    try {
      const files = openFiles(pid);
      const vcpus = vcpuFiles(files);
      if (vcpus.length === 0 || !files.some(({ target }) => isVirtualMachine(target))) return [];
      return [{ pid, name: kindOf(program).name, vcpus: vcpus.length }];
    } catch (error) {
      if (failedWith(error, 'ENOENT', 'ESRCH')) return [];
      if (!failedWith(error, 'EACCES', 'EPERM')) throw error;
      const kind = hypervisorKinds.find((each) => each.recognises(program));
      return kind ? [{ pid, name: kind.name, vcpus: undefined }] : [];
    }
  });
}
