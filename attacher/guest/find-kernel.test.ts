import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  fakeBuildId,
  fakeKernel,
  fakeSymbols,
  type FakeSymbol,
} from '../../test/support/fake-kernel.js';
import { FakeMemory, TableBuilder } from '../../test/support/guest-tables.js';
import { Random } from '../../test/support/random.js';
import { absentSymbols, defaultCacheDirectory, findKernel, findRunningKernel } from './index.js';

const MiB = 2 ** 20;
const size = MiB;
let cacheDirectory: string;
beforeEach(() => (cacheDirectory = mkdtempSync(join(tmpdir(), 'debloat-cache-'))));
afterEach(() => rmSync(cacheDirectory, { recursive: true }));

const symbols = fakeSymbols(new Random(5), 600, size);

/** A guest whose kernel is mapped at `start`, in pages that lie apart. */
function guest(
  start: bigint,
  options: Parameters<typeof fakeKernel>[3] & { symbols?: FakeSymbol[] } = {},
) {
  const memory = new FakeMemory({ guestAddress: 0, size: 4 * MiB });
  const { bytes, table } = fakeKernel(new Random(7), options.symbols ?? symbols, start, options);
  const builder = new TableBuilder(memory, 4, 2 * MiB);
  builder.mapOwn(start + BigInt(size));
  for (let at = 0; at < size; at += 4096) {
    const physical = MiB + ((at * 17) % size);
    builder.map(start + BigInt(at), physical);
    memory.write(physical, bytes.subarray(at, at + 4096));
  }
  const registers = {
    cr0: 0x8005_0033n,
    cr3: BigInt(builder.root) | 5n,
    cr4: 0x20n,
    efer: 0xd01n,
  };
  return {
    memory,
    registers,
    table,
    physicalOf: (at: number) => MiB + (((at - (at % 4096)) * 17) % size) + (at % 4096),
  };
}

function addresses(start: bigint): Map<string, bigint> {
  return new Map(
    symbols.map(({ name, value, absolute }) => [
      name,
      absolute ? BigInt(value) : start + BigInt(value),
    ]),
  );
}

const first = 0xffff_ffff_8100_0000n;
const moved = 0xffff_ffff_a6a0_0000n;

describe('findKernel', () => {
  it('tells version, build id, place and symbols', () => {
    const { memory, registers } = guest(first);
    const kernel = findKernel(memory, registers);
    expect(kernel).toMatchObject({
      version: '6.1.0-test',
      buildId: fakeBuildId,
      textStart: first,
      cached: false,
    });
    expect(kernel.symbols).toEqual(addresses(first));
    const name = symbols[3]?.name ?? '';
    expect(absentSymbols(kernel, [name, 'no_such_symbol'])).toEqual(['no_such_symbol']);
  });

  it('knows a kernel again wherever KASLR has put it', () => {
    const one = guest(first);
    findKernel(one.memory, one.registers, { cacheDirectory });
    const other = guest(moved);
    other.memory.reads = 0;
    const kernel = findKernel(other.memory, other.registers, { cacheDirectory });
    expect(kernel.cached).toBe(true);
    expect(kernel.version).toBe('6.1.0-test');
    expect(kernel.symbols).toEqual(addresses(moved));
    expect(readdirSync(cacheDirectory)).toEqual([`${fakeBuildId}-10204.json`]);
  });

  it('does not believe a cache that the guest’s memory contradicts', () => {
    const { memory, registers, table, physicalOf } = guest(first);
    findKernel(memory, registers, { cacheDirectory });
    const [file = ''] = readdirSync(cacheDirectory);
    const path = join(cacheDirectory, file);
    const content = readFileSync(path, 'utf8');
    for (const damaged of [
      '',
      '{}',
      content.slice(0, 500),
      content.replace(/"offsets":\[\d+/, '"offsets":[12345'),
      content.replace(/"names":"[^\\]*/, '"names":"other_name'),
    ]) {
      writeFileSync(path, damaged);
      const kernel = findKernel(memory, registers, { cacheDirectory });
      expect(kernel.cached).toBe(false);
      expect(kernel.symbols).toEqual(addresses(first));
      expect(readFileSync(path, 'utf8')).toBe(content);
    }
    memory.write(physicalOf(table), new Uint8Array(12));
    expect(findKernel(memory, registers, { cacheDirectory }).cached).toBe(false);
  });

  it('does without a cache that cannot be written', () => {
    const { memory, registers } = guest(first);
    const path = join(cacheDirectory, 'file');
    writeFileSync(path, '');
    expect(findKernel(memory, registers, { cacheDirectory: path }).cached).toBe(false);
    expect(findKernel(memory, registers, { cacheDirectory: join(path, 'x') }).cached).toBe(false);
  });

  it('keeps nothing of a kernel without a build id', () => {
    const { memory, registers } = guest(first, { buildId: undefined });
    expect(findKernel(memory, registers, { cacheDirectory }).buildId).toBeUndefined();
    expect(readdirSync(cacheDirectory)).toEqual([]);
  });

  it('finds the kernel’s tables from those of user mode', () => {
    const { memory, registers } = guest(first);
    // The user's tables lie one page after the kernel's; ours were built at an even page.
    const page = Number(registers.cr3 & ~0xfffn);
    const kernelTable = memory.read(page, 4096) ?? new Uint8Array();
    memory.write(3 * MiB + 512 * 1024, kernelTable);
    const cr3 = BigInt(3 * MiB + 512 * 1024 + 4096);
    expect(findKernel(memory, { ...registers, cr3 }).textStart).toBe(first);
  });

  it('goes by tables of the kernel’s own, whatever becomes of those of a process', () => {
    const { memory, registers } = guest(first);
    const { pageTables } = findKernel(memory, registers);
    const root = Number(registers.cr3 & ~0xfffn);
    const own = Number(memory.entry(root, 511) & ~0xfffn);
    expect(pageTables).toMatchObject({ root: own, levels: 3 });
    const banner = pageTables.read(first + 0x4001n, 20);
    memory.write(root, new Uint8Array(4096).fill(0x55));
    expect(pageTables.read(first + 0x4001n, 20)).toEqual(banner);
    expect(pageTables.read(0xffff_8880_0000_0000n, 1)).toBeUndefined();
    expect([...pageTables.extents(first, first + 4096n)]).toEqual([
      { virtual: first, physical: MiB, length: 4096 },
    ]);
    expect(() => findKernel(memory, registers)).toThrow(/no Linux kernel/);
    // By a page that was used anew, and has the same for other tables of that kernel.
    const copy = 3 * MiB + 512 * 1024;
    memory.write(copy, memory.read(own, 4096) ?? new Uint8Array());
    memory.setEntry(root, 511, BigInt(copy) | 3n);
    expect(() => findKernel(memory, registers)).toThrow(/no Linux kernel/);
    memory.setEntry(root, 511, BigInt(own) | 3n);
    expect(findKernel(memory, registers).textStart).toBe(first);
  });

  it('is found by another look when the first was outdated', () => {
    const { memory, registers } = guest(first);
    const looks = [{ ...registers, cr3: 0x3000n }, registers];
    const { kernel } = findRunningKernel(memory, () => looks.shift() ?? registers, {});
    expect(kernel.textStart).toBe(first);
    expect(looks).toEqual([]);
    const outdated = { ...registers, cr3: 0x3000n };
    expect(() => findRunningKernel(memory, () => outdated, {})).toThrow(/no Linux kernel/);
  });

  it.each([
    ['an old kernel', guest(first, { version: '4.19.0-1' }), 'too-old'],
    ['a nameless kernel', guest(first, { version: 'none' }), 'no-linux'],
    ['nothing where a kernel would be', guest(0xffff_8000_0000_0000n), 'no-linux'],
  ])('refuses %s', (_, { memory, registers }, reason) => {
    expect(() => findKernel(memory, registers, { cacheDirectory })).toThrow(
      expect.objectContaining({ reason }) as Error,
    );
  });

  it('refuses soon what maps all the kernel’s range to itself', () => {
    const memory = new FakeMemory({ guestAddress: 0, size: 64 * 1024 });
    for (let index = 0; index < 512; index++) memory.setEntry(0, index, 3n);
    const begin = performance.now();
    const registers = { cr0: 0x8000_0001n, cr3: 0n, cr4: 0x1020n, efer: 0x500n };
    expect(() => findKernel(memory, registers, { cacheDirectory })).toThrow(/./);
    expect(performance.now() - begin).toBeLessThan(3000);
  });
});

describe('defaultCacheDirectory', () => {
  it('is what the environment says', () => {
    expect(defaultCacheDirectory({ XDG_CACHE_HOME: '/tmp/x' })).toBe('/tmp/x/debloat');
    expect(defaultCacheDirectory({ XDG_CACHE_HOME: 'relative' })).toMatch(/^\/.*debloat$/);
  });
});
