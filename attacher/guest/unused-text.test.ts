import { describe, expect, it } from 'vitest';
import { FakeMemory, TableBuilder } from '../../test/support/guest-tables.js';
import { findUnusedText, isUnusedText } from './unused-text.js';
import { PageTables } from './page-tables.js';

const MiB = 2 ** 20;
const KiB = 1024;
const start = 0xffff_ffff_8100_0000n;
const text = 4 * MiB;
const noExecute = 1n << 63n;

/** A kernel's text of 4 MiB at 4 MiB of memory: some code, then what `parts` say. */
function kernel(parts: { at: number; length: number; byte: number }[], flags = 0n) {
  const memory = new FakeMemory({ guestAddress: 0, size: 12 * MiB });
  const builder = new TableBuilder(memory, 4, MiB);
  for (let at = 0; at < text; at += 2 * MiB) {
    builder.map(start + BigInt(at), 4 * MiB + at, 2, 1n | flags);
  }
  memory.write(
    4 * MiB,
    new Uint8Array(text).map((_, n) => (n % 3 === 0 ? 0x48 : 0x89)),
  );
  for (const { at, length, byte } of parts) {
    memory.write(4 * MiB + at, new Uint8Array(length).fill(byte));
  }
  return { memory, tables: new PageTables(memory, builder.root, 4) };
}

const size = 256 * KiB;
const padding = { at: MiB + 77, length: MiB, byte: 0xcc };

describe('padding of a kernel’s text', () => {
  it('is found between its code, a page of it on each side', () => {
    const { memory, tables } = kernel([padding]);
    const found = findUnusedText(tables, size);
    if (found === undefined) throw new Error('none was found');
    const at = Number(found.virtual - start);
    expect(found).toEqual({ virtual: found.virtual, physical: 4 * MiB + at, filler: 0xcc });
    expect(at % 4096).toBe(0);
    const around = memory.read(found.physical - 4096, size + 2 * 4096);
    expect(around?.every((byte) => byte === 0xcc)).toBe(true);
    expect(isUnusedText(tables, found, size)).toBe(true);
  });

  it('is taken by several, one behind the other, until there is no more', () => {
    const { memory, tables } = kernel([padding]);
    const places: number[] = [];
    for (let found = findUnusedText(tables, size); found; found = findUnusedText(tables, size)) {
      places.push(found.physical);
      memory.write(found.physical, new Uint8Array(size).fill(7));
      // What is within is not looked at.
      expect(isUnusedText(tables, found, size)).toBe(true);
    }
    expect(places).toHaveLength(3);
    for (const [n, place] of places.entries()) {
      expect(place).toBeGreaterThanOrEqual((places[n - 1] ?? 0) + size);
    }
  });

  it('is nothing where it is too short, of other bytes, or cannot be executed', () => {
    expect(findUnusedText(kernel([]).tables, size)).toBeUndefined();
    expect(findUnusedText(kernel([{ ...padding, length: size }]).tables, size)).toBeUndefined();
    expect(findUnusedText(kernel([{ ...padding, byte: 0 }]).tables, size)).toBeUndefined();
    expect(findUnusedText(kernel([padding], noExecute).tables, size)).toBeUndefined();
  });

  it('is no longer where it was when another kernel lies there', () => {
    const { tables } = kernel([padding]);
    const found = findUnusedText(tables, size);
    if (found === undefined) throw new Error('none was found');
    expect(isUnusedText(kernel([]).tables, found, size)).toBe(false);
    expect(isUnusedText(tables, { ...found, physical: found.physical + 4096 }, size)).toBe(false);
    expect(isUnusedText(tables, { ...found, virtual: 0x1000n }, size)).toBe(false);
  });
});
