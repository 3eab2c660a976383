import { describe, expect, it } from 'vitest';
import { parseMemoryMap } from '../../native/linux/memory-map.js';
import { possibleLayouts } from './layout.js';

const GiB = 2 ** 30;
const ends = [3 * GiB, 2 * GiB];

const line = (start: number, size: number, rest = 'rw-p 00000000 00:00 0') =>
  `${start.toString(16)}-${(start + size).toString(16)} ${rest}\n`;

const layouts = (maps: string) => possibleLayouts(parseMemoryMap(maps), ends);

describe('possibleLayouts', () => {
  const base = 0x7f00_0000_0000;

  it('has the largest writable area at 0', () => {
    const maps =
      line(0x5000_0000, 64 << 20, 'rw-p 00000000 00:00 0 [heap]') +
      line(base, 16 * GiB, 'rwxp 00000000 00:00 0') +
      line(base + 20 * GiB, GiB) +
      line(base + 40 * GiB, 8 << 20);
    expect(layouts(maps)).toEqual([[{ guestAddress: 0, userAddress: base + 20 * GiB, size: GiB }]]);
  });

  it('splits what does not fit below the hole under 4 GiB', () => {
    const [first, second, third] = layouts(line(base, 5 * GiB));
    expect(first).toEqual([
      { guestAddress: 0, userAddress: base, size: 3 * GiB },
      { guestAddress: 4 * GiB, userAddress: base + 3 * GiB, size: 2 * GiB },
    ]);
    expect(second?.map(({ size }) => size)).toEqual([2 * GiB, 3 * GiB]);
    expect(third).toEqual([{ guestAddress: 0, userAddress: base, size: 5 * GiB }]);
  });

  it('leaves a stack beside the memory apart, and joins memory that advice has split', () => {
    const found = layouts(line(base, 8 << 20) + line(base + (8 << 20), GiB));
    expect(found[0]).toEqual([{ guestAddress: 0, userAddress: base + (8 << 20), size: GiB }]);
    expect(found[1]).toEqual([{ guestAddress: 0, userAddress: base, size: GiB + (8 << 20) }]);
  });

  it('puts separate areas of a file in every order that can be', () => {
    const file = (offset: number) => `rw-s ${offset.toString(16)} 00:01 77 /memfd:ram (deleted)`;
    const low = base + 64 * GiB;
    const maps = line(base, 2 * GiB, file(3 * GiB)) + line(low, 3 * GiB, file(0));
    expect(layouts(maps)).toContainEqual([
      { guestAddress: 0, userAddress: low, size: 3 * GiB },
      { guestAddress: 4 * GiB, userAddress: base, size: 2 * GiB },
    ]);
  });

  it('knows one mapping with a hole in it', () => {
    const maps = line(base, 0xd000_0000) + line(base + 4 * GiB, GiB);
    expect(possibleLayouts(parseMemoryMap(maps), [])).toContainEqual([
      { guestAddress: 0, userAddress: base, size: 0xd000_0000 },
      { guestAddress: 4 * GiB, userAddress: base + 4 * GiB, size: GiB },
    ]);
  });

  it('is empty where nothing is large enough', () => {
    expect(layouts(line(base, 1 << 20))).toEqual([]);
  });
});
