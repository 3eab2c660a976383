import { findKernel, type GuestKernel, type PagingRegisters } from '../guest/index.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import { memoryOfProcess } from '../hypervisor/emulated-machine.js';
import type { MonitorAddress } from '../qmp/monitor.js';
import { pagingRegistersBy } from '../qmp/processors.js';
import { Refusal } from '../refusal.js';

/** A guest as seen through its hypervisor's monitor and memory. */
export interface GdbGuest {
  /** Of the processor by which it was found. */
  paging: PagingRegisters;
  memory: ProcessMemory;
  kernel: GuestKernel;
  /** The address of the kernel's function of this name. */
  schedule: bigint;
}

/** How often a look is taken again: the process whose page tables were used may have ended meanwhile. */
const tries = 3;

/** Find the guest's memory and kernel; the machine runs on meanwhile. */
export async function findGuest(
  pid: number,
  monitor: MonitorAddress,
  options: { cacheDirectory?: string | undefined },
): Promise<GdbGuest> {
  for (let n = 1; ; n++) {
    const paging = await pagingRegistersBy(monitor);
    let memory: ProcessMemory | undefined;
    try {
      memory = memoryOfProcess(pid, paging);
      const kernel = findKernel(memory, paging, options);
      const schedule = kernel.symbols.get('schedule');
      if (schedule !== undefined) return { paging, memory, kernel, schedule };
      throw new Refusal('symbol-missing', 'the guest’s kernel does not export schedule');
    } catch (error) {
      memory?.close();
      if (!(error instanceof Refusal) || n === tries) throw error;
    }
  }
}
