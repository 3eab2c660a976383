import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { findKernel } from '../../attacher/guest/index.js';
import { openVirtualMachine } from '../../attacher/hypervisor/index.js';

/** Fails, with what it said, if the guest's kernel has complained of anything on its console. */
export function expectNoComplaint(console: string, when = ''): void {
  const lines = console.split('\n');
  const bad = lines.findIndex((line) =>
    /WARNING|BUG|Oops|Call Trace|cut here|general protection|Kernel panic|I\/O error|stalls? on CPU|lockup|scheduling while atomic|Bad page/.test(
      line,
    ),
  );
  expect(lines.slice(bad < 0 ? lines.length : bad).slice(0, 30), when).toEqual([]);
}

/** Fails if the guest's timer does not tick. */
export async function expectTicking(pid: number): Promise<void> {
  using machine = openVirtualMachine(pid);
  const kernel = findKernel(machine.memory, machine.anyRegisters(), {});
  const jiffies = kernel.symbols.get('jiffies');
  if (jiffies === undefined) throw new Error('the kernel exports no jiffies');
  const now = () => Buffer.from(kernel.pageTables.read(jiffies, 8) ?? []).readBigUInt64LE();
  const start = now();
  const end = Date.now() + 5000;
  while (now() === start && Date.now() < end) await sleep(10);
  expect(now()).toBeGreaterThan(start);
}
