import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findKernel } from '../../attacher/guest/index.js';
import { matchBusyThreads } from '../../attacher/hypervisor/busy-threads.js';
import { findVirtualMachines, openVirtualMachine } from '../../attacher/hypervisor/index.js';
import { inspect } from '../../attacher/inspect/inspect.js';
import { runCli, runCliWell } from '../support/cli.js';
import { kernelRelease } from '../vm/kernel.js';
import { startKvmGuest, type KvmGuestOptions } from '../vm/kvm-guest.js';
import type { Qemu } from '../vm/qemu.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-inspect-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** Live kernels on KVM: the oldest, and the newest on other hardware. */
const machines: (Omit<KvmGuestOptions, 'directory'> & { interrupts: string })[] = [
  { suite: 'bullseye', sharedMemory: false, interrupts: 'kernel' },
  { suite: 'sid', machine: 'q35', irqchip: 'split', sandbox: true, cpus: 2, interrupts: 'split' },
];

describe.each(machines)('debloat inspect on $suite', (options) => {
  let guest: Qemu;
  const cache = mkdtempSync(join(directory, 'cache-'));
  const env = { XDG_CACHE_HOME: cache };

  beforeAll(async () => {
    guest = await startKvmGuest({ ...options, directory: mkdtempSync(join(directory, 'guest-')) });
  });
  afterAll(() => guest.stop());

  it('tells all about the machine, and that an attach is possible', async () => {
    const { stdout } = await runCliWell(['inspect', `qemu://${guest.pid}`, '--format=json'], {
      env,
    });
    const told: unknown = JSON.parse(stdout);
    expect(told).toMatchObject({
      pid: guest.pid,
      hypervisor: { name: 'QEMU', version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string },
      interruptController: options.interrupts,
      memory: {
        verified: true,
        regions: [
          {
            guestAddress: '0x0',
            size: 256 << 20,
            access: options.sharedMemory === false ? 'copied' : 'mapped',
          },
        ],
      },
      kernel: { version: kernelRelease(options.suite), pagingLevels: 4 },
      attach: { possible: true, obstacles: [] },
    });
    const { vcpus } = told as { vcpus: { tid: number; rip?: string }[] };
    expect(vcpus).toHaveLength(options.cpus ?? 1);
    expect(new Set(vcpus.map(({ tid }) => tid)).size).toBe(vcpus.length);
    for (const { rip } of vcpus) expect(rip).toMatch(/^0xffffffff/);

    const text = (await runCliWell(['inspect', `${guest.pid}`], { env })).stdout;
    expect(text).toContain(`Linux ${kernelRelease(options.suite)}`);
    expect(text).toMatch(/symbols +[\d,]{5,} exported/);
    expect(findVirtualMachines()).toContainEqual({
      pid: guest.pid,
      name: 'QEMU',
      vcpus: options.cpus ?? 1,
    });
  });

  it('is quick', () => {
    const prepare = (cacheDirectory: string) => {
      const start = performance.now();
      using machine = openVirtualMachine(guest.pid);
      const { cached } = findKernel(machine.memory, machine.anyRegisters(), { cacheDirectory });
      return { cached, took: performance.now() - start };
    };
    // The best of some: others may use the machine meanwhile.
    const best = (runs: { took: number }[]) => Math.min(...runs.map(({ took }) => took));
    const caches = [1, 2, 3, 4].map(() => mkdtempSync(join(directory, 'cache-')));
    const cold = caches.map(prepare);
    expect(cold.every(({ cached }) => !cached)).toBe(true);
    expect(best(cold)).toBeLessThan(1000);
    const warm = Array.from({ length: 12 }, () => prepare(caches[0] ?? ''));
    expect(warm.every(({ cached }) => cached)).toBe(true);
    expect(best(warm)).toBeLessThan(50);
  });

  it('reads registers by the hypervisor’s own signal, and without one by ptrace', () => {
    using machine = openVirtualMachine(guest.pid);
    for (const vcpu of machine.vcpus) {
      const { efer } = machine.registers(vcpu);
      expect(['none', 'signal']).toContain(machine.lastKick);
      const other = machine.page(vcpu).registers(vcpu.tid, undefined);
      expect(other.registers.efer).toBe(efer);
      expect(['none', 'ptrace']).toContain(other.kick);
    }
  });

  it('matches threads that procfs never shows waiting, by a kick', () => {
    using machine = openVirtualMachine(guest.pid);
    const { pid, vcpus } = machine;
    const threads = vcpus.map(({ tid }) => tid);
    const signals = [() => 10, () => undefined]; // QEMU's SIG_IPI, or by ptrace
    for (const signal of signals) {
      const found = vcpus.map((vcpu) => ({ ...vcpu, tid: 0 }));
      const matched = () => found.every(({ tid }) => tid !== 0);
      const end = performance.now() + 5000;
      // A thread that is kept from its processor may not answer in time; callers come again, too.
      while (!matched() && performance.now() < end) {
        matchBusyThreads(pid, found, [...threads].reverse(), signal);
      }
      expect(found.map(({ tid }) => tid)).toEqual(threads);
    }
  });

  it('refuses what lacks symbols, is paused, is stopped or is being traced', async () => {
    const look = () =>
      inspect(guest.pid, { cacheDirectory: undefined, neededSymbols: ['printf', 'filp_open'] });
    expect(look().obstacles).toMatchObject([
      { reason: 'symbol-missing', message: expect.stringMatching(/export printf$/) as string },
    ]);

    await guest.qmp('stop');
    const paused = look();
    expect(paused.obstacles[0]).toMatchObject({ reason: 'paused' });
    expect(paused.memory?.regions[0]?.size).toBe(256 << 20);
    const told = await runCli(['inspect', `${guest.pid}`], { env });
    expect(told.code).toBe(1);
    expect(told.stdout).toMatch(/attach +not possible\n +the virtual machine is paused/);
    await guest.qmp('cont');

    process.kill(guest.pid, 'SIGSTOP');
    expect(look().obstacles[0]).toMatchObject({
      reason: 'paused',
      message: expect.stringContaining('stopped by a signal') as string,
    });
    process.kill(guest.pid, 'SIGCONT');
    expect(look().kernel).toBeDefined();
  });

  it('names the capability that is missing', async () => {
    const tool = spawn(
      'setpriv',
      [
        '--reuid=65534',
        '--clear-groups',
        process.execPath,
        'dist/cli/main.js',
        'inspect',
        `${guest.pid}`,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, XDG_CACHE_HOME: cache } },
    );
    let told = '';
    tool.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
    const code = await new Promise((resolve) => tool.once('close', resolve));
    expect(told).toMatch(/belongs to another user, and CAP_SYS_PTRACE is missing/);
    expect(code).toBe(1);
  });
});

it('says of other processes that they run no virtual machine', async () => {
  const told = await runCli(['inspect', `${process.pid}`]);
  expect(told.code).toBe(1);
  expect(told.stderr).toMatch(/runs no virtual machine/);
  expect((await runCli(['inspect', 'nonsense'])).code).toBe(2);
});
