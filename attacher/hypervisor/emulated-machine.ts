import { readMemoryMap } from '../../native/linux/memory-map.js';
import type { PagingRegisters } from '../guest/page-tables.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import { Refusal } from '../refusal.js';
import { findMemory } from './guest-memory.js';
import { kindOf } from './kinds.js';
import { possibleLayouts } from './layout.js';
import { withPrivilege } from './privilege.js';
import { openFiles, programName } from './procfs.js';

/**
 * The memory of a guest whose hypervisor need not use KVM, by the registers of one of its processors.
 * Refused where it may not be reached, or does not agree with the guest's page tables.
 */
export function memoryOfProcess(pid: number, registers: PagingRegisters): ProcessMemory {
  const found = withPrivilege(pid, () => {
    const areas = readMemoryMap(pid);
    const layouts = possibleLayouts(areas, kindOf(programName(pid)).lowMemoryEnds);
    return findMemory({ pid, files: openFiles(pid), areas }, layouts, registers);
  });
  if (found === undefined) {
    throw new Refusal('not-a-vm', `process ${pid} has no memory that could be a guest’s`);
  }
  if (!found.verified) {
    found.memory.close();
    throw new Refusal('page-tables', 'the guest’s memory was not found in its hypervisor', {
      hint: 'its layout is unknown to us, or the guest is still booting',
    });
  }
  return found.memory;
}
