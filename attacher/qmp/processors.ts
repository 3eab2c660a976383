import { DebloatError } from '../../analyzer/errors.js';
import type { PagingRegisters } from '../guest/page-tables.js';
import { withMonitor, type MonitorAddress } from './monitor.js';

const EFER_LMA = 1n << 10n;

/**
 * The registers by which the processors of a machine find their page tables, at one moment. Nothing is stopped
 * for that. Of those in 64-bit mode if any is. Throws DebloatError where the monitor does not tell them.
 */
export async function pagingRegistersBy(monitor: MonitorAddress): Promise<PagingRegisters[]> {
  const text = await withMonitor(monitor, (qmp) => qmp.human('info registers -a'));
  const all = parseProcessors(text);
  if (all.length === 0) {
    throw new DebloatError('The hypervisor’s monitor does not tell a processor’s registers.', {
      hint: 'QEMU’s "info registers -a" is asked for, of a 64-bit x86 machine',
    });
  }
  const long = all.filter(({ efer }) => (efer & EFER_LMA) !== 0n);
  return long.length === 0 ? all : long;
}

/** What QEMU says of each processor (x86_cpu_dump_state in its target/i386/cpu-dump.c). */
export function parseProcessors(text: string): PagingRegisters[] {
  return text.split(/^CPU#\d+/m).flatMap((part) => {
    const value = (name: string) => {
      const digits = new RegExp(`\\b${name}=([0-9a-f]{8,16})\\b`).exec(part)?.[1];
      return digits === undefined ? undefined : BigInt(`0x${digits}`);
    };
    const [cr0, cr3, cr4, efer] = [value('CR0'), value('CR3'), value('CR4'), value('EFER')];
    if (cr0 === undefined || cr3 === undefined || cr4 === undefined) return [];
    return [{ cr0, cr3, cr4, efer: efer ?? 0n }];
  });
}
