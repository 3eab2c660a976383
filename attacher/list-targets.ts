import { listContainers } from './container/list.js';
import { findVirtualMachines } from './hypervisor/index.js';
import { kindOf } from './hypervisor/kinds.js';
import { commandLine, processes, programName } from './hypervisor/procfs.js';
import { listenersOf, machineName } from './qmp/command-line.js';

export interface ListedTarget {
  /** As `debloat attach` takes it: "qemu://4242". */
  target: string;
  kind: 'vm' | 'container';
  /** Of a virtual machine, where its hypervisor was given one. */
  name?: string;
  /** Hypervisor or image. */
  what: string;
  /** How to attach, or what is missing for it. */
  how: string;
}

/** What runs on this machine and can be attached to. */
export async function listTargets(): Promise<ListedTarget[]> {
  return [...machines(), ...(await containers())];
}

function machines(): ListedTarget[] {
  const byKvm = findVirtualMachines();
  return [
    ...byKvm.map(({ pid, name: hypervisor, vcpus }): ListedTarget => {
      const known = vcpus !== undefined;
      return {
        ...nameOf(pid),
        what: known ? `${hypervisor}, ${vcpus} vCPU${vcpus === 1 ? '' : 's'}` : hypervisor,
        how: known
          ? `\`debloat inspect ${pid}\` says what can be done`
          : 'needs root or CAP_SYS_PTRACE',
      };
    }),
    ...processes()
      .filter((pid) => !byKvm.some((machine) => machine.pid === pid) && emulates(pid))
      .map((pid): ListedTarget => ({
        ...nameOf(pid),
        what: 'QEMU, without KVM',
        how: 'by its gdb stub or its monitor',
      })),
  ];
}

/** Whether a process is a QEMU that can be talked to, as far as its command line tells. */
function emulates(pid: number): boolean {
  if (kindOf(programName(pid)).name !== 'QEMU') return false;
  const { monitors, stub } = listenersOf(commandLine(pid), '/');
  return monitors.length > 0 || stub !== undefined;
}

function nameOf(pid: number): Pick<ListedTarget, 'target' | 'kind' | 'name'> {
  const name = machineName(commandLine(pid));
  return { target: `qemu://${pid}`, kind: 'vm', ...(name === undefined ? {} : { name }) };
}

async function containers(): Promise<ListedTarget[]> {
  return (await listContainers()).map(({ target, image, overlay }) => ({
    ...{ target, kind: 'container', what: image },
    how: overlay === undefined ? 'not debloated: needs --overlay FILE' : `overlay ${overlay}`,
  }));
}
