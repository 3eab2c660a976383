import { describe, expect, it } from 'vitest';
import { FakeMemory, indexAt, TableBuilder } from '../../test/support/guest-tables.js';
import { Random } from '../../test/support/random.js';
import { PageTables, type Extent } from './page-tables.js';

const MiB = 2 ** 20;
const size = { 1: 4096, 2: 2 * MiB, 3: 1024 * MiB } as const;

/** A canonical address from a page number. */
function canonical(page: bigint, levels: 4 | 5): bigint {
  return BigInt.asUintN(64, BigInt.asIntN(levels * 9 + 12, page << 12n));
}

function randomAddress(random: Random, levels: 4 | 5, pageSize: number): bigint {
  const page = (BigInt(random.word()) << 13n) ^ BigInt(random.word());
  // Few tables for many pages, so that neighbours and shared tables happen.
  const near = random.oneIn(2) ? BigInt(random.below(2048)) : page;
  const at = canonical(near | (random.oneIn(2) ? 1n << BigInt(levels * 9 - 1) : 0n), levels);
  return at - (at % BigInt(pageSize));
}

describe.each([4, 5] as const)('page tables of %d levels', (levels) => {
  it.each([1, 2, 3, 4, 5, 6])('translate as they were built (seed %d)', (seed) => {
    const random = new Random(seed * levels);
    const memory = new FakeMemory({ guestAddress: 0, size: 8 * MiB });
    const builder = new TableBuilder(memory, levels, MiB);
    const pages = new Map<bigint, { physical: number; pageSize: number }>();
    for (let n = 0; n < 300; n++) {
      const level = random.pick([1, 1, 1, 2, 2, 3] as const);
      const pageSize = size[level];
      const virtual = randomAddress(random, levels, pageSize);
      const clash = [...pages].some(
        ([at, other]) =>
          virtual < at + BigInt(Math.max(other.pageSize, size[3])) &&
          at < virtual + BigInt(size[3]) &&
          other.pageSize !== pageSize,
      );
      if (clash) continue;
      const physical = random.below(2 ** 20) * pageSize;
      builder.map(virtual, physical, level);
      pages.set(virtual, { physical, pageSize });
    }
    const tables = new PageTables(memory, builder.root, levels);
    for (const [virtual, { physical, pageSize }] of pages) {
      const offset = random.below(pageSize);
      expect(tables.translate(virtual + BigInt(offset))).toMatchObject({
        physical: physical + offset,
        pageSize,
        writable: true,
        user: false,
        executable: true,
      });
    }
    const halves = [
      ...tables.extents(0n, 1n << BigInt(levels * 9 + 11)),
      ...tables.extents(2n ** 64n - (1n << BigInt(levels * 9 + 11)), 2n ** 64n),
    ];
    expect(halves).toEqual(joined(pages));
  });
});

/** Pages as extents, neighbours joined. */
function joined(pages: Map<bigint, { physical: number; pageSize: number }>): Extent[] {
  const extents: Extent[] = [];
  for (const [virtual, { physical, pageSize }] of [...pages].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const last = extents.at(-1);
    if (
      last &&
      last.virtual + BigInt(last.length) === virtual &&
      last.physical + last.length === physical
    ) {
      last.length += pageSize;
    } else extents.push({ virtual, physical, length: pageSize });
  }
  return extents;
}

describe('page tables', () => {
  const kernel = 0xffff_ffff_8100_0000n;

  it('cut large pages to the range asked for', () => {
    const memory = new FakeMemory({ guestAddress: 0, size: MiB });
    const builder = new TableBuilder(memory, 4, 0);
    builder.map(kernel, 32 * MiB, 2);
    const tables = new PageTables(memory, builder.root, 4);
    expect([...tables.extents(kernel + 0x1000n, kernel + 0x4000n)]).toEqual([
      { virtual: kernel + 0x1000n, physical: 32 * MiB + 0x1000, length: 0x3000 },
    ]);
  });

  it('tell rights, and the table at a level', () => {
    const memory = new FakeMemory({ guestAddress: 0, size: MiB });
    const builder = new TableBuilder(memory, 4, 0);
    builder.map(kernel, 0x5000, 1, 1n | (1n << 63n));
    const tables = new PageTables(memory, builder.root, 4);
    expect(tables.translate(kernel)).toMatchObject({ writable: false, executable: false });
    expect(tables.tableOf(kernel, 4)).toBe(0);
    expect(tables.tableOf(kernel, 3)).toBe(0x1000);
    expect(tables.tableOf(kernel, 1)).toBe(0x3000);
    expect(tables.tableOf(0n, 3)).toBeUndefined();
    expect(tables.translate(0x8000_0000_0000_0000n)).toBeUndefined();
  });

  it('read across pages, and nothing that is not mapped', () => {
    const memory = new FakeMemory({ guestAddress: 0, size: MiB });
    const builder = new TableBuilder(memory, 4, 0);
    builder.map(kernel, 0x80000);
    builder.map(kernel + 0x1000n, 0x90000);
    memory.write(0x80ffe, Uint8Array.of(1, 2));
    memory.write(0x90000, Uint8Array.of(3, 4));
    const tables = new PageTables(memory, builder.root, 4);
    expect(tables.read(kernel + 0xffen, 4)).toEqual(Uint8Array.of(1, 2, 3, 4));
    expect(tables.read(kernel + 0x1ffen, 4)).toBeUndefined();
  });

  it.each([
    ['no paging', { cr0: 1n, cr3: 0n, cr4: 0n, efer: 0n }],
    ['32-bit paging', { cr0: 0x80000001n, cr3: 0x1000n, cr4: 0x20n, efer: 0n }],
  ])('are refused with %s', (_, registers) => {
    const memory = new FakeMemory({ guestAddress: 0, size: MiB });
    expect(() => PageTables.of(memory, registers)).toThrow(
      expect.objectContaining({ reason: 'mode' }) as Error,
    );
  });
});

describe('hostile page tables', () => {
  const memory = new FakeMemory({ guestAddress: 0, size: 64 * 1024 });

  it('that contain themselves end in an error, soon', () => {
    for (let index = 0; index < 512; index++) memory.setEntry(0, index, 3n);
    const start = performance.now();
    const tables = new PageTables(memory, 0, 5);
    expect(() => [...tables.extents(0n, 1n << 56n)]).toThrow(
      expect.objectContaining({ reason: 'page-tables' }) as Error,
    );
    expect(tables.translate(0x1234_5678n)).toBeDefined();
    expect(performance.now() - start).toBeLessThan(2000);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'of random bytes never lead outside memory (seed %d)',
    (seed) => {
      const random = new Random(seed);
      const wild = new FakeMemory({ guestAddress: 0, size: 64 * 1024 });
      for (let at = 0; at < 64 * 1024; at += 8) {
        const near = BigInt(random.below(16)) << 12n;
        const far = (BigInt(random.word()) << 32n) | BigInt(random.word());
        wild.setEntry(0, at / 8, (random.oneIn(4) ? far : near) | BigInt(random.below(256)));
      }
      const tables = new PageTables(wild, 4096, random.pick([4, 5] as const));
      const start = performance.now();
      for (let n = 0; n < 2000; n++) {
        const address = BigInt.asUintN(
          64,
          BigInt.asIntN(48, (BigInt(random.word()) << 16n) ^ BigInt(random.word())),
        );
        const place = tables.translate(address);
        if (place) expect(place.physical).toBeLessThan(2 ** 52);
        tables.read(address, 64);
        tables.tableOf(address, random.below(6));
      }
      try {
        for (const { physical, length } of tables.extents(0xffff_8000_0000_0000n, 2n ** 64n)) {
          expect(Number.isSafeInteger(physical + length)).toBe(true);
        }
      } catch (error) {
        expect(error).toMatchObject({ reason: 'page-tables' });
      }
      expect(performance.now() - start).toBeLessThan(5000);
    },
  );

  it('with a root outside memory map nothing', () => {
    const tables = new PageTables(memory, 2 ** 40, 4);
    expect([...tables.extents(0n, 1n << 47n)]).toEqual([]);
    expect(tables.translate(0n)).toBeUndefined();
    expect(indexAt(1n << 39n, 4)).toBe(1);
  });
});
