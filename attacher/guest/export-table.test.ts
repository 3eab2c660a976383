import { describe, expect, it } from 'vitest';
import { fakeKernel, fakeSymbols } from '../../test/support/fake-kernel.js';
import { Random } from '../../test/support/random.js';
import { findExportedSymbols } from './export-table.js';

const start = 0xffff_ffff_9a20_0000n;
const size = 1 << 20;

describe('findExportedSymbols', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('finds all there are and no others (seed %d)', (seed) => {
    const random = new Random(seed);
    const symbols = fakeSymbols(random, 2000, size);
    const { bytes, table } = fakeKernel(random, symbols, start);
    const found = findExportedSymbols({ start, bytes });
    expect([...found.values()]).toEqual(
      symbols.map(({ name, value, absolute }, n) => ({
        name,
        address: absolute ? BigInt(value) : start + BigInt(value),
        entry: table + 12 * n,
      })),
    );
  });

  it('finds none in noise', () => {
    for (let seed = 0; seed < 10; seed++) {
      const { bytes } = fakeKernel(new Random(seed), [], start);
      expect(findExportedSymbols({ start, bytes }).size).toBe(0);
    }
  });

  it('finds none in pages of zeros, of ones, or of words that all point to one place', () => {
    const bytes = new Uint8Array(size);
    expect(findExportedSymbols({ start, bytes }).size).toBe(0);
    bytes.fill(0xff);
    expect(findExportedSymbols({ start, bytes }).size).toBe(0);
    const words = new Int32Array(bytes.buffer);
    words.forEach((_, n) => (words[n] = 0x1000 - 4 * n));
    expect(findExportedSymbols({ start, bytes }).size).toBe(0);
  });

  it.each([1, 2, 3, 4, 5, 6])('survives a damaged table, soon (seed %d)', (seed) => {
    const random = new Random(seed);
    const symbols = fakeSymbols(random, 1500, size);
    const { bytes, table } = fakeKernel(random, symbols, start);
    const view = new DataView(bytes.buffer);
    for (let n = 0; n < 200; n++) {
      view.setInt32(table + 4 * random.below(4500), random.word() | 0, true);
    }
    const begin = performance.now();
    const right = new Map(symbols.map((symbol) => [symbol.name, symbol]));
    const found = findExportedSymbols({ start, bytes });
    expect(performance.now() - begin).toBeLessThan(1000);
    for (const { address, entry } of found.values()) {
      expect(entry % 4).toBe(0);
      expect(address < start + BigInt(size)).toBe(true);
    }
    const kept = [...found.keys()].filter((name) => right.has(name));
    expect(kept.length).toBeGreaterThan(100);
  });

  it('is done soon with a table that fills memory', () => {
    const bytes = new Uint8Array(64 << 20);
    const words = new Int32Array(bytes.buffer);
    bytes.set(Buffer.from('name\0', 'latin1'), 16);
    for (let n = 300; n + 3 < words.length; n += 3) {
      words[n] = 0;
      words[n + 1] = 16 - 4 * (n + 1);
      words[n + 2] = 20 - 4 * (n + 2);
    }
    const begin = performance.now();
    expect(findExportedSymbols({ start, bytes }).size).toBe(1);
    expect(performance.now() - begin).toBeLessThan(3000);
  });
});
