import { findKernel, type GuestKernel } from '../guest/index.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import { memoryOfProcess } from '../hypervisor/emulated-machine.js';
import { Refusal } from '../refusal.js';
import type { SafePointSymbols } from './safe-point.js';
import { pagingRegisters, type GdbStub } from './stub.js';

const EFER_LMA = 1n << 10n;

/** What a stub's guest must export besides what the stage needs. */
export interface GuestFunctions extends SafePointSymbols {
  allocatePages: bigint;
  freePages: bigint;
}

/** A guest as seen through its hypervisor's gdb stub and memory. */
export interface GdbGuest {
  /** Of the processor by which it was found. */
  registers: ReadonlyMap<string, bigint>;
  memory: ProcessMemory;
  kernel: GuestKernel;
  functions: GuestFunctions;
}

/** How often a look is taken again: the process whose page tables were used may have ended meanwhile. */
const tries = 3;

/**
 * Find the guest's memory and kernel. The machine runs while its memory is looked through, and
 * afterwards.
 */
export async function findGuest(
  pid: number,
  stub: GdbStub,
  options: { cacheDirectory?: string | undefined },
): Promise<GdbGuest> {
  for (let n = 1; ; n++) {
    const registers = await longModeRegisters(stub);
    const paging = pagingRegisters(registers);
    let memory: ProcessMemory | undefined;
    try {
      memory = memoryOfProcess(pid, paging);
      const kernel = findKernel(memory, paging, options);
      return { registers, memory, kernel, functions: functionsOf(kernel) };
    } catch (error) {
      memory?.close();
      if (!(error instanceof Refusal) || n === tries) throw error;
    }
  }
}

/** Registers of the first processor in 64-bit mode, else of the first; the machine runs afterwards. */
async function longModeRegisters(stub: GdbStub): Promise<ReadonlyMap<string, bigint>> {
  const isLong = (registers: ReadonlyMap<string, bigint>) =>
    ((registers.get('efer') ?? 0n) & EFER_LMA) !== 0n;
  const first = await stub.pass(() => stub.registers());
  if (isLong(first)) return first;
  await stub.stand();
  let found = first;
  for (const thread of await stub.threads()) {
    await stub.select(thread);
    found = await stub.registers();
    if (isLong(found)) break;
  }
  stub.resume();
  return isLong(found) ? found : first;
}

function functionsOf({ symbols }: GuestKernel): GuestFunctions {
  const find = (...names: string[]): bigint => {
    const found = names.map((name) => symbols.get(name)).find((address) => address !== undefined);
    if (found !== undefined) return found;
    throw new Refusal('symbol-missing', `the guest’s kernel does not export ${names.join(' or ')}`);
  };
  return {
    schedule: find('schedule'),
    panic: find('panic'),
    // Since 6.10 the function behind the name.
    allocatePages: find('get_free_pages_noprof', '__get_free_pages'),
    freePages: find('free_pages'),
  };
}
