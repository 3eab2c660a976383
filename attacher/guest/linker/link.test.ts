import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DebloatError } from '../../../analyzer/errors.js';
import { link, requiredImports } from './link.js';

/** The guest stage is x86-64 only; elsewhere it is not built (native/build.sh). */
const here = arch() === 'x64';

const source = `
extern int imported(int) __attribute__((visibility("default")));
extern int missing(int) __attribute__((weak, visibility("default")));
extern int value __attribute__((weak, visibility("default")));
static int table[3] = { 5, 6, 7 };
static int *const pointer = &table[2];
static int zero[1000];
__attribute__((section(".control"), aligned(4096))) int control[1024] = { 0x1234 };
int other(int);
int entry(int x)
{
  if (missing) return missing(x);
  zero[999] += x;
  return imported(x) * 1000 + *pointer * 100 + zero[999] * 10 + (&value ? value : 3) + control[0];
}
`;
const flags = ['-O1', '-ffreestanding', '-fPIC', '-fno-plt', '-fno-asynchronous-unwind-tables'];

/** Maps the image at the address it was linked for, and calls it. */
const runner = `
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/mman.h>
int main(int argc, char **argv)
{
  unsigned long base = strtoul(argv[2], 0, 16), size = strtoul(argv[3], 0, 0);
  int file = open(argv[1], O_RDONLY);
  if (mmap((void *)base, size, 7, MAP_PRIVATE | MAP_FIXED_NOREPLACE, file, 0) != (void *)base) return 1;
  int (*entry)(int) = (void *)strtoul(argv[4], 0, 16);
  int first = entry(2);
  printf("%d %d\\n", first, entry(1));
}
`;

describe.runIf(here)('link', () => {
  let folder = '';
  let object = new Uint8Array();
  const base = 0x7e00_0000_0000n;

  const compile = (text: string, name: string, options: string[]): string => {
    writeFileSync(join(folder, `${name}.c`), text);
    const output = join(folder, name);
    execFileSync('gcc', [...options, '-o', output, join(folder, `${name}.c`)]);
    return output;
  };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'debloat-link-'));
    object = readFileSync(compile(source, 'object', [...flags, '-c']));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('makes an image that runs at its address, weak imports absent', () => {
    // imported(x): lea 1(%rdi),%eax; ret — machine code at an address of its own behind the image.
    const { image, entry } = link(object, base, new Map([['imported', base + 0x10_0000n]]));
    const file = new Uint8Array(0x10_1000);
    file.set(image);
    file.set([0xf3, 0x0f, 0x1e, 0xfa, 0x8d, 0x47, 0x01, 0xc3], 0x10_0000);
    writeFileSync(join(folder, 'image'), file);
    const program = compile(runner, 'runner', []);
    const output = execFileSync(program, [
      join(folder, 'image'),
      base.toString(16),
      String(file.length),
      entry('entry').toString(16),
    ]);
    expect(output.toString()).toBe(
      `${3000 + 700 + 20 + 3 + 0x1234} ${2000 + 700 + 30 + 3 + 0x1234}\n`,
    );
  });

  it('lays code, constants, data and the control block out in pages of their own', () => {
    const { image, segments, entry } = link(object, base, new Map([['imported', 1n]]));
    expect(segments.map(({ writable, executable }) => [writable, executable])).toEqual([
      [false, true],
      [false, false],
      [true, false],
      [true, false],
    ]);
    let end = 0;
    for (const { offset, size } of segments) {
      expect(offset).toBe(end);
      expect(size % 4096).toBe(0);
      end = offset + size;
    }
    expect(image.length).toBe(end);
    expect(entry('control')).toBe(base + BigInt(end - 4096));
  });

  it('takes addresses of the kernel’s half', () => {
    const kernel = 0xffff_ff80_4000_2000n;
    const { image, entry } = link(object, kernel, new Map([['imported', 0xffff_ffff_8123_4560n]]));
    expect(entry('entry')).toBeGreaterThanOrEqual(kernel);
    expect(Buffer.from(image).includes(Buffer.from('60452381ffffffff', 'hex'))).toBe(true);
  });

  it('names imports, and those that are missing', () => {
    expect(requiredImports(object)).toEqual([
      { name: 'imported', weak: false },
      { name: 'missing', weak: true },
      { name: 'value', weak: true },
    ]);
    expect(() => link(object, base, new Map())).toThrow(/does not export .*: imported\./);
  });

  it('refuses a base within a page, and names that are not there', () => {
    expect(() => link(object, base + 8n, new Map([['imported', 1n]]))).toThrow(RangeError);
    expect(() => link(object, base, new Map([['imported', 1n]])).entry('nothing')).toThrow(
      /nothing/,
    );
  });

  it('refuses code that is not position independent', () => {
    const fixed = compile('int data[4]; long f(long i) { return data[i]; }', 'fixed', [
      '-O1',
      '-fno-pic',
      '-c',
    ]);
    expect(() => link(readFileSync(fixed), base, new Map())).toThrow(/R_X86_64_32S/);
  });

  it('refuses a direct call that cannot reach', () => {
    const direct = compile('int far(void); int f(void) { return far() + 1; }', 'direct', [
      '-O1',
      '-fno-pic',
      '-c',
    ]);
    expect(() => link(readFileSync(direct), base, new Map([['far', 0n]]))).toThrow(
      /far is more than/,
    );
  });

  it('answers every damaged file with a DebloatError', () => {
    const symbols = new Map([['imported', 0xffff_ffff_8000_0000n]]);
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const attempt = (bytes: Uint8Array): void => {
      try {
        const { image } = link(bytes, base, symbols);
        expect(image.length).toBeLessThan(64 * 1024 * 1024);
      } catch (error) {
        expect(error).toBeInstanceOf(DebloatError);
      }
    };
    for (let length = 0; length < object.length; length += 7) attempt(object.slice(0, length));
    for (let round = 0; round < 3000; round++) {
      const bytes = object.slice();
      for (let changes = random(4) + 1; changes > 0; changes--) {
        // Half of the changes go where the structure is: the header and the section table.
        const late = object.length - 1 - random(64 * 14);
        const at = [random(64), late, random(bytes.length), late][random(4)] ?? 0;
        bytes[at] = [0, 0xff, 0x7f, random(256)][random(4)] ?? 0;
      }
      attempt(bytes);
    }
  });
});
