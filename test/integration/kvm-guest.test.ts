import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { startKvmGuest } from '../vm/kvm-guest.js';
import type { Qemu } from '../vm/qemu.js';
import { startTcgGuest } from '../vm/tcg-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-kvm-guest-'));
const started: Qemu[] = [];
afterAll(async () => {
  for (const guest of started) await guest.stop();
  rmSync(directory, { recursive: true });
});

/** The guest's count of timer ticks, told by its kernel when asked over the serial line. */
async function jiffies(guest: Qemu): Promise<bigint> {
  const before = guest.console().length;
  await guest.sysrq('q'); // lists timers
  for (let n = 0; n < 100; n++) {
    await sleep(100);
    const told = /^.*jiffies: (\d+)$/m.exec(guest.console().slice(before))?.[1];
    if (told !== undefined) return BigInt(told);
  }
  throw new Error(`the guest does not answer:\n${guest.console().slice(-2000)}`);
}

it.each([
  { suite: 'bookworm', machine: 'pc', sharedMemory: true },
  { suite: 'trixie', machine: 'q35', sharedMemory: false },
] as const)('runs a live kernel of $suite on KVM as $machine', async (options) => {
  const guest = await startKvmGuest({ ...options, directory });
  started.push(guest);
  expect(await guest.qmp('query-kvm')).toEqual({ enabled: true, present: true });
  expect(await guest.qmp('query-status')).toMatchObject({ status: 'running' });
  const first = await jiffies(guest);
  await sleep(500);
  expect(await jiffies(guest)).toBeGreaterThan(first);
  expect(guest.symbols.get('platform_device_alloc')).toBeGreaterThan(0xffffffff81000000n);
  await guest.stop();
});

it("knows where a relocated kernel's exported symbols are", async () => {
  const guest = await startTcgGuest({ suite: 'bookworm', directory, kallsyms: true });
  started.push(guest);
  expect(guest.symbols.size).toBeGreaterThan(5000);
  expect(guest.symbols.get('platform_device_alloc')).toBeGreaterThan(0xffffffff80000000n);
  expect(guest.symbols.get('system_wq')).toBeGreaterThan(0xffffffff80000000n);
});
