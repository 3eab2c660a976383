import { open } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { fakeElf, type FakeElf } from '../../test/support/fake-elf.js';
import { ElfError, parseElf, type RangeSource } from './elf.js';

function source(bytes: Buffer): RangeSource & { reads: number } {
  return {
    size: bytes.length,
    reads: 0,
    read(offset, length) {
      this.reads++;
      return Promise.resolve(bytes.subarray(offset, offset + length));
    },
  };
}

const full: FakeElf = {
  interpreter: '/lib64/ld-linux-x86-64.so.2',
  needed: ['libfoo.so.1', 'libc.so.6'],
  soname: 'libself.so.2',
  runpath: '$ORIGIN/../lib:/opt/lib',
};

describe('parseElf', () => {
  for (const bits of [32, 64] as const)
    for (const endian of ['little', 'big'] as const)
      it(`reads ${bits}-bit ${endian}-endian files`, async () => {
        const info = await parseElf(source(fakeElf({ ...full, bits, endian, machine: 8 })));
        expect(info).toEqual({
          bits,
          endian,
          machine: 8,
          type: 3,
          interpreter: full.interpreter,
          soname: full.soname,
          needed: full.needed,
          rpath: [],
          runpath: ['$ORIGIN/../lib', '/opt/lib'],
        });
      });

  it('reads a real program by a few ranges', async () => {
    await using file = await open(process.execPath);
    const { size } = await file.stat();
    let bytes = 0;
    const info = await parseElf({
      size,
      async read(offset, length) {
        bytes += length;
        const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
        return buffer.subarray(0, bytesRead);
      },
    });
    expect(info.needed).toContain('libc.so.6');
    expect(info.interpreter).toMatch(/^\/lib.*\/ld-/);
    expect(bytes).toBeLessThan(200_000);
  });

  it('takes a file without dynamic section as one that needs nothing', async () => {
    const info = await parseElf(source(fakeElf()));
    expect(info).toMatchObject({ needed: [], runpath: [] });
    expect(info.interpreter).toBeUndefined();
  });

  it('refuses what is no ELF file, or cut short', async () => {
    await expect(parseElf(source(Buffer.from('#!/bin/sh\nexit 0\n')))).rejects.toThrow(ElfError);
    await expect(parseElf(source(Buffer.alloc(0)))).rejects.toThrow(ElfError);
    const whole = fakeElf(full);
    for (const length of [4, 16, 63, 100, 200, 300])
      await expect(parseElf(source(whole.subarray(0, length)))).rejects.toThrow(ElfError);
  });

  it('survives mutated files: a result or an ElfError, by a bounded number of reads', async () => {
    const random = generator(20260101);
    let refused = 0;
    for (let round = 0; round < 4000; round++) {
      const bytes = Buffer.from(fakeElf({ ...full, bits: round % 2 ? 32 : 64 }));
      for (let change = 0; change < 1 + (round % 6); change++)
        bytes[random(bytes.length)] = [0, 1, 0x7f, 0x80, 0xff, random(256)][random(6)] ?? 0;
      const input = source(random(8) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes);
      try {
        const info = await parseElf(input);
        expect(info.needed.length).toBeLessThan(64);
      } catch (error) {
        expect(error).toBeInstanceOf(ElfError);
        refused++;
      }
      expect(input.reads).toBeLessThan(100);
    }
    expect(refused).toBeGreaterThan(500);
    expect(refused).toBeLessThan(3900);
  });
});

/** Numbers below a limit, the same in every run (mulberry32). */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}
