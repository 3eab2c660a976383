import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { findKernel } from '../../attacher/guest/index.js';
import { findMemory } from '../../attacher/hypervisor/guest-memory.js';
import { kindOf } from '../../attacher/hypervisor/kinds.js';
import { possibleLayouts } from '../../attacher/hypervisor/layout.js';
import { openVirtualMachine } from '../../attacher/hypervisor/index.js';
import { openFiles } from '../../attacher/hypervisor/procfs.js';
import { readMemoryMap } from '../../native/linux/memory-map.js';
import type { Qemu } from '../vm/qemu.js';
import { kernelRelease } from '../vm/kernel.js';
import { startTcgGuest } from '../vm/tcg-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-guest-kernel-'));
const guests: Qemu[] = [];
afterEach(() => Promise.all(guests.splice(0).map((guest) => guest.stop())));
afterAll(() => rmSync(directory, { recursive: true }));

const GiB = 2 ** 30;

/** The guest tells its build id and where its kernel is, and is busy in user mode from then on. */
const script = `
echo kernel-notes: $(od -An -v -tx1 /sys/kernel/notes | tr -d ' \\n')
echo text-start: $(awk '$3 == "_text" {print $1}' /proc/kallsyms)
while :; do :; done &
`;

/** Kernels with KASLR; each machine lays out memory and page tables in another way. */
const machines = [
  {
    suite: 'bullseye',
    machine: 'pc',
    memory: 512,
    levels: 4,
    sharedMemory: false,
    isolated: true,
    regions: [[0, GiB / 2]],
  },
  {
    suite: 'bookworm',
    machine: 'pc',
    memory: 5120,
    levels: 5,
    sharedMemory: true,
    isolated: true,
    regions: [
      [0, 3 * GiB],
      [4 * GiB, 2 * GiB],
    ],
  },
  {
    suite: 'trixie',
    machine: 'q35',
    memory: 3072,
    levels: 5,
    sharedMemory: false,
    isolated: false,
    regions: [
      [0, 2 * GiB],
      [4 * GiB, GiB],
    ],
  },
  {
    suite: 'sid',
    machine: 'pc,max-ram-below-4g=3584M',
    memory: 4096,
    levels: 4,
    sharedMemory: true,
    isolated: false,
    regions: [
      [0, 3 * GiB],
      [4 * GiB, GiB],
    ],
  },
] as const;

describe.each(machines)('the kernel of $suite on $machine', (options) => {
  it('is found with all that it exports, in user mode and in kernel mode', async () => {
    const guest = await startTcgGuest({
      ...options,
      fiveLevels: options.levels === 5,
      append: options.isolated ? 'pti=on' : '',
      kallsyms: true,
      script,
      directory: mkdtempSync(join(directory, 'guest-')),
    });
    guests.push(guest);
    const told = guest.console();
    const symbols = new Map(guest.symbols);
    expect(symbols.size).toBeGreaterThan(5000);

    const files = openFiles(guest.pid);
    const areas = readMemoryMap(guest.pid);
    const layouts = possibleLayouts(areas, kindOf('qemu-system-x86_64').lowMemoryEnds);
    const registers = await monitorRegisters(guest);
    const found = findMemory({ pid: guest.pid, files, areas }, layouts, registers);
    expect(found?.verified).toBe(true);
    const { memory } = found ?? {};
    if (memory === undefined) throw new Error('no memory');
    expect(memory.regions.map(({ guestAddress, size }) => [guestAddress, size])).toEqual(
      options.regions,
    );
    expect(new Set(memory.regions.map(({ access }) => access.kind))).toEqual(
      new Set([options.sharedMemory ? 'mapped' : 'copied']),
    );

    const cacheDirectory = mkdtempSync(join(directory, 'cache-'));
    const kernel = findKernel(memory, registers, { cacheDirectory });
    expect(kernel.cached).toBe(false);
    expect(kernel.version).toBe(kernelRelease(options.suite));
    expect(kernel.buildId).toMatch(/^[0-9a-f]{40}$/);
    expect(told).toContain(`474e5500${kernel.buildId}`);
    expect(told).toContain(`text-start: ${kernel.textStart.toString(16)}\n`);
    expect(kernel.textStart).not.toBe(0xffff_ffff_8100_0000n);
    expect(kernel.pagingLevels).toBe(options.levels);
    expect(differences(kernel.symbols, symbols)).toEqual([]);

    const again = findKernel(memory, registers, { cacheDirectory });
    expect(again.cached).toBe(true);
    expect(again).toEqual({ ...kernel, cached: true });

    // With page-table isolation the tables of user mode are other ones, 4 KiB after the kernel's.
    for (const cr3 of [registers.cr3 & ~0x1000n, registers.cr3 | 0x1000n]) {
      if (!options.isolated) break;
      const again = findKernel(memory, { ...registers, cr3 });
      expect(again.symbols).toEqual(kernel.symbols);
    }
    memory.close();
    expect(() => openVirtualMachine(guest.pid)).toThrow(/is QEMU without KVM/);
  });
});

/** Symbols whose addresses differ, or that only one side has. */
function differences(found: Map<string, bigint>, told: Map<string, bigint>): string[] {
  const names = new Set([...found.keys(), ...told.keys()]);
  return [...names].filter((name) => found.get(name) !== told.get(name));
}

/** Registers of a processor as QEMU's monitor shows them. */
async function monitorRegisters(guest: Qemu) {
  const text = await guest.monitor('info registers');
  const value = (name: string) =>
    BigInt(`0x${new RegExp(`\\b${name}=([0-9a-f]+)`).exec(text)?.[1] ?? '0'}`);
  return { cr0: value('CR0'), cr3: value('CR3'), cr4: value('CR4'), efer: value('EFER') };
}
