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
import { monitorRegisters, startTcgGuest, toldKernel } from '../vm/tcg-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-guest-kernel-'));
const guests: Qemu[] = [];
afterEach(() => Promise.all(guests.splice(0).map((guest) => guest.stop())));
afterAll(() => rmSync(directory, { recursive: true }));

const GiB = 2 ** 30;

/** Kernels with KASLR; each machine lays out memory and page tables in another way. */
const machines = [
  {
    suite: 'bullseye',
    machine: 'pc',
    memory: 512,
    cpu: 'qemu64',
    levels: 4,
    sharedMemory: false,
    append: 'pti=on',
    regions: [[0, GiB / 2]],
  },
  {
    suite: 'bookworm',
    machine: 'pc',
    memory: 5120,
    cpu: 'max',
    levels: 5,
    sharedMemory: true,
    append: 'pti=on',
    regions: [
      [0, 3 * GiB],
      [4 * GiB, 2 * GiB],
    ],
  },
  {
    suite: 'trixie',
    machine: 'q35',
    memory: 3072,
    cpu: 'max',
    levels: 5,
    sharedMemory: false,
    append: '',
    regions: [
      [0, 2 * GiB],
      [4 * GiB, GiB],
    ],
  },
  {
    suite: 'sid',
    machine: 'pc,max-ram-below-4g=3584M',
    memory: 4096,
    cpu: 'qemu64',
    levels: 4,
    sharedMemory: true,
    append: '',
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
      directory: mkdtempSync(join(directory, 'guest-')),
    });
    guests.push(guest);
    const told = toldKernel(guest);
    expect(told.symbols.size).toBeGreaterThan(5000);

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
    const cold = performance.now();
    const kernel = findKernel(memory, registers, { cacheDirectory });
    expect(performance.now() - cold).toBeLessThan(1000);
    expect(kernel.cached).toBe(false);
    expect(kernel.version).toBe(told.release);
    expect(kernel.buildId).toMatch(/^[0-9a-f]{40}$/);
    expect(told.notes).toContain(`474e5500${kernel.buildId}`);
    expect(kernel.textStart).toBe(told.textStart);
    expect(kernel.textStart).not.toBe(0xffff_ffff_8100_0000n);
    expect(kernel.pageTables.levels).toBe(options.levels);
    expect(differences(kernel.symbols, told.symbols)).toEqual([]);
    expect(kernel.symbols.size).toBe(told.symbols.size);

    const again = findKernel(memory, registers, { cacheDirectory });
    expect(again.cached).toBe(true);
    expect(again).toEqual({ ...kernel, cached: true });

    // With page-table isolation the tables of user mode are other ones, 4 KiB after the kernel's.
    for (const cr3 of [registers.cr3 & ~0x1000n, registers.cr3 | 0x1000n]) {
      if (!options.append.includes('pti=on')) break;
      const { symbols } = findKernel(memory, { ...registers, cr3 });
      expect(symbols).toEqual(kernel.symbols);
    }
    memory.close();
    expect(() => openVirtualMachine(guest.pid)).toThrow(/is QEMU without KVM/);
  });
});

/** Symbols that are not at (one of) the addresses told, or are told of and not found. */
function differences(found: Map<string, bigint>, told: Map<string, bigint[]>): string[] {
  const names = new Set([...found.keys(), ...told.keys()]);
  return [...names].filter((name) => {
    const address = found.get(name);
    return address === undefined || !told.get(name)?.includes(address);
  });
}
