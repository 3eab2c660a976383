import { DebloatError, ExitCode } from '../analyzer/errors.js';

/** The process that a `vm` argument names: PID or qemu://PID. */
export function processOf(vm: string): number {
  const pid = Number(/^(?:qemu:\/\/)?([1-9]\d{0,9})$/.exec(vm)?.[1]);
  if (Number.isSafeInteger(pid) && pid < 2 ** 31) return pid;
  throw new DebloatError(`"${vm}" names no process`, {
    hint: 'a virtual machine is named by its hypervisor’s process: 1234 or qemu://1234',
    exitCode: ExitCode.usage,
  });
}
