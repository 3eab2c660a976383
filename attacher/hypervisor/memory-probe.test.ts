import { describe, expect, it } from 'vitest';
import { FakeMemory, TableBuilder } from '../../test/support/guest-tables.js';
import { Random } from '../../test/support/random.js';
import type { PhysicalMemory } from '../guest/memory/physical-memory.js';
import { piecesOf } from '../guest/memory/physical-memory.js';
import { directlyMapped } from './memory-probe.js';

const MiB = 2 ** 20;

/** `memory` as it looks with a wrong idea of where its regions are. */
function relaid(memory: FakeMemory, places: number[]): PhysicalMemory {
  const regions = memory.regions.map((region, n) => ({ ...region, guestAddress: places[n] ?? 0 }));
  const readInto = (address: number, target: Uint8Array) => {
    const pieces = piecesOf(regions, address, target.length);
    pieces?.forEach(({ region, offset, start, length }) =>
      target.set(region.bytes.subarray(offset, offset + length), start),
    );
    return pieces !== undefined;
  };
  const read = (address: number, length: number) => {
    const target = new Uint8Array(length);
    return readInto(address, target) ? target : undefined;
  };
  return { regions, read, readInto, write: () => false };
}

describe.each([4, 5] as const)('directlyMapped with %d levels', (levels) => {
  it.each([1, 2, 3, 4])('tells a right layout from wrong ones (seed %d)', (seed) => {
    const random = new Random(seed);
    const low = 16 * MiB;
    const high = 64 * MiB;
    const memory = new FakeMemory(
      { guestAddress: 0, size: low },
      { guestAddress: high, size: 8 * MiB },
    );
    // Tables in the upper part, as the kernel puts them; the direct mapping anywhere, by whole GiB.
    const builder = new TableBuilder(memory, levels, high);
    const half = 2n ** 64n - 2n ** BigInt(levels * 9 + 11);
    const base = half + (BigInt(1 + random.below(100_000)) << 30n);
    for (const { guestAddress, size } of memory.regions) {
      for (let at = 0; at < size; at += 2 * MiB) {
        builder.map(base + BigInt(guestAddress + at), guestAddress + at, 2);
      }
    }
    const registers = {
      cr0: 0x8000_0001n,
      cr3: BigInt(builder.root),
      cr4: levels === 5 ? 0x1020n : 0x20n,
      efer: 0x500n,
    };
    expect(directlyMapped(memory, registers)).toBe(24 * MiB);
    expect(directlyMapped(relaid(memory, [0, low]), registers)).toBeUndefined();
    expect(directlyMapped(relaid(memory, [0, high + 4 * MiB]), registers)).toBeUndefined();
    expect(directlyMapped(memory, { ...registers, efer: 0n })).toBeUndefined();
  });
});
