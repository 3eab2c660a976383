import { DebloatError } from '../../analyzer/errors.js';
import { findKernel, type GuestKernel, type PagingRegisters } from '../guest/index.js';
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
  memory: ProcessMemory;
  kernel: GuestKernel;
  functions: GuestFunctions;
}

/** How often a look is taken again: the process whose page tables were used may have ended meanwhile. */
const tries = 3;

/**
 * Find the guest's memory and kernel. The machine stands before and after, and runs while its memory is
 * looked through.
 */
export async function findGuest(
  pid: number,
  stub: GdbStub,
  options: { cacheDirectory?: string | undefined },
): Promise<GdbGuest> {
  for (let n = 1; ; n++) {
    const registers = await longModeRegisters(stub);
    stub.resume();
    let memory: ProcessMemory | undefined;
    try {
      memory = memoryOfProcess(pid, registers);
      const kernel = findKernel(memory, registers, options);
      const functions = functionsOf(kernel);
      await stub.interrupt();
      return { memory, kernel, functions };
    } catch (error) {
      memory?.close();
      await stub.stand();
      if (!(error instanceof Refusal) || n === tries) throw error;
    }
  }
}

/** Registers of the first processor in 64-bit mode, else of the first. */
async function longModeRegisters(stub: GdbStub): Promise<PagingRegisters> {
  let first: PagingRegisters | undefined;
  for (const thread of await stub.threads()) {
    await stub.select(thread);
    const registers = pagingRegisters(await stub.registers());
    if ((registers.efer & EFER_LMA) !== 0n) return registers;
    first ??= registers;
  }
  if (first === undefined) throw new DebloatError('The gdb stub tells of no processor.');
  return first;
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
