import { readFileSync } from 'node:fs';
import { absentSymbols, findRunningKernel, type GuestKernel } from '../guest/index.js';
import {
  hasCapability,
  openVirtualMachine,
  statusField,
  type VirtualMachine,
} from '../hypervisor/index.js';
import { Refusal } from '../refusal.js';
import type { Inspection, Obstacle } from './inspection.js';

export interface InspectOptions {
  /** Where kernels' symbols are kept; undefined for nowhere. */
  cacheDirectory: string | undefined;
  /** Kernel functions that an attach cannot do without. */
  neededSymbols: readonly string[];
}

/**
 * Look at the virtual machine that process `pid` runs: its hypervisor, processors, memory and kernel. No
 * thread is held for longer than a read of its registers. What stands in the way of an attach is
 * among the result; a Refusal is thrown where nothing can be said at all.
 */
export function inspect(pid: number, options: InspectOptions): Inspection {
  using machine = openVirtualMachine(pid);
  const obstacles: Obstacle[] = [];
  const attempt = <T>(action: () => T): T | undefined => {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { reason, message, hint } = error;
      if (!obstacles.some((known) => known.message === message)) {
        obstacles.push({ reason, message, hint });
      }
      return undefined;
    }
  };
  const vcpus = machine.vcpus.map((vcpu) => ({
    ...vcpu,
    registers: attempt(() => machine.registers(vcpu)),
  }));
  const memory = attempt(() => machine.memory);
  const kernel = attempt(
    () => findRunningKernel(machine.memory, () => machine.anyRegisters(), options).kernel,
  );
  attempt(() => checkSymbols(kernel, options.neededSymbols));
  attempt(() => checkSeccomp(machine));
  attempt(() => machine.checkInterrupts());
  return {
    pid,
    hypervisor: { name: machine.name, version: programVersion(machine) },
    vmFd: machine.vmFd,
    vcpus,
    interruptController: machine.interruptController,
    memory: memory && {
      regions: memory.regions.map(({ guestAddress, size, userAddress, access }) => ({
        guestAddress,
        size,
        userAddress,
        access: access.kind,
      })),
      verified: machine.memoryVerified,
    },
    kernel,
    obstacles,
  };
}

function checkSymbols(kernel: GuestKernel | undefined, needed: readonly string[]): void {
  if (kernel === undefined) return;
  const absent = absentSymbols(kernel, needed);
  if (absent.length === 0) return;
  throw new Refusal('symbol-missing', `the guest’s kernel does not export ${absent.join(', ')}`, {
    hint: 'it was built without these functions, or is older than 5.10',
  });
}

/** Filters on system calls must rest while calls are made on the hypervisor's behalf. */
function checkSeccomp({ pid, vcpus }: VirtualMachine): void {
  const filtered = vcpus.some(
    ({ tid }) => tid !== 0 && statusField(`/proc/${pid}/task/${tid}`, 'Seccomp') === '2',
  );
  if (!filtered || hasCapability('CAP_SYS_ADMIN')) return;
  throw new Refusal(
    'privilege',
    'the hypervisor is under seccomp, and CAP_SYS_ADMIN is missing to suspend it for the attach',
    { hint: 'run as root' },
  );
}

/** The version in the hypervisor's program file; it is not run for that, for it is not ours. */
function programVersion({ pid, kind }: VirtualMachine): string | undefined {
  if (kind.version === undefined) return undefined;
  try {
    return kind.version.exec(readFileSync(`/proc/${pid}/exe`, 'latin1'))?.[0].trim();
  } catch {
    return undefined;
  }
}
