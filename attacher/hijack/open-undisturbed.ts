import { openVirtualMachine, type VirtualMachine } from '../hypervisor/index.js';
import { exclusively } from './exclusive.js';

/**
 * The virtual machine that process `pid` runs, opened while no other process of ours makes its threads do
 * something else: by what they do it is seen which of them runs which vCPU. Throws as openVirtualMachine.
 */
export function openUndisturbed(pid: number): Promise<VirtualMachine> {
  return exclusively(pid, () => openVirtualMachine(pid));
}
