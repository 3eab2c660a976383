import { setTimeout as sleep } from 'node:timers/promises';
import { findKernel, isOutdated, type GuestKernel, type PagingRegisters } from '../guest/index.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import { memoryOfProcess } from '../hypervisor/emulated-machine.js';
import type { MonitorAddress } from '../qmp/monitor.js';
import { pagingRegistersBy } from '../qmp/processors.js';
import { Refusal } from '../refusal.js';

const EFER_NXE = 0x800n;

/** A guest as seen through its hypervisor's monitor and memory. */
export interface GdbGuest {
  memory: ProcessMemory;
  kernel: GuestKernel;
  /** The address of the kernel's function of this name. */
  schedule: bigint;
  /** EFER.NXE: its page tables may forbid execution. */
  noExecute: boolean;
}

/** How often a look is taken again, after so many milliseconds: see `findGuest`. */
const again = { times: 10, pause: 3 };

/**
 * Find the guest's memory and kernel; the machine runs on meanwhile. So the process whose page tables a
 * processor used may have ended before they were read: then other registers are asked for.
 */
export async function findGuest(
  pid: number,
  monitor: MonitorAddress,
  options: { cacheDirectory?: string | undefined },
): Promise<GdbGuest> {
  for (let n = 1; ; n++) {
    let refusal: unknown;
    for (const paging of await pagingRegistersBy(monitor)) {
      try {
        return guestBy(pid, paging, options);
      } catch (error) {
        if (!isOutdated(error)) throw error;
        refusal ??= error;
      }
    }
    if (n > again.times) throw refusal;
    await sleep(again.pause);
  }
}

function guestBy(
  pid: number,
  paging: PagingRegisters,
  options: { cacheDirectory?: string | undefined },
): GdbGuest {
  const memory = memoryOfProcess(pid, paging);
  try {
    const kernel = findKernel(memory, paging, options);
    const schedule = kernel.symbols.get('schedule');
    if (schedule === undefined) {
      throw new Refusal('symbol-missing', 'the guest’s kernel does not export schedule');
    }
    return { memory, kernel, schedule, noExecute: (paging.efer & EFER_NXE) !== 0n };
  } catch (error) {
    memory.close();
    throw error;
  }
}
