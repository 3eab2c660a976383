import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { imageOfBytes, temporaryDirectory } from '../../test/support/image-of-bytes.js';
import { contentStream } from './read.js';
import type { Image, Node } from './types.js';

/** What GNU tar makes of `names` below `dir`. */
function tar(dir: string, args: string[], names = ['.']): Buffer {
  return execFileSync('tar', ['-c', '-C', dir, '--sort=name', ...args, '--', ...names], {
    maxBuffer: 1 << 28,
  });
}

function node(image: Image, path: string): Node {
  const found = image.tree.get(path);
  if (!found) throw new Error(`there is no ${path}`);
  return found;
}

/** A file with `count` islands of data, far apart, the last bytes a hole. */
function writeSparse(file: string, count: number): void {
  const fd = openSync(file, 'w');
  for (let i = 0; i < count; i++) writeSync(fd, `island ${i}`, i * 65536 + 4096);
  closeSync(fd);
  execFileSync('truncate', ['-s', String(count * 65536 + 12345), file]);
}

describe.each([
  ['old GNU', ['--format=gnu']],
  ['pax 0.0', ['--format=posix', '--sparse-version=0.0']],
  ['pax 0.1', ['--format=posix', '--sparse-version=0.1']],
  ['pax 1.0', ['--format=posix', '--sparse-version=1.0']],
])('sparse files of GNU tar, %s', (_, format) => {
  it.each([0, 1, 3, 60])('with %i islands are read with their holes', async (count) => {
    const dir = temporaryDirectory();
    writeSparse(join(dir, 'sparse'), count);
    writeFileSync(join(dir, 'zz-next'), 'next');
    const image = await imageOfBytes(tar(dir, ['--sparse', ...format]));
    const original = readFileSync(join(dir, 'sparse'));
    const file = node(image, '/sparse');
    expect(file.entry.size).toBe(original.length);
    expect(file.entry.storedSize).toBeLessThan(original.length / 2);
    expect((await image.read(file)).equals(original)).toBe(true);
    expect((await buffer(contentStream(image, file))).equals(original)).toBe(true);
    for (const [offset, length] of [
      [4090, 20],
      [0, 5000],
      [4096 + 3, 2],
      [original.length - 5, 100],
      [original.length + 5, 10],
    ] as const) {
      const expected = original.subarray(offset, offset + length);
      expect((await image.readRange(file, offset, length)).equals(expected)).toBe(true);
    }
    expect((await image.read(node(image, '/zz-next'))).toString()).toBe('next');
  });
});

describe.each(['v7', 'oldgnu', 'gnu', 'ustar', 'posix'])('%s archives of GNU tar', (format) => {
  it('give names, links and contents back', async () => {
    const dir = temporaryDirectory();
    const deep = `deep/${'directory/'.repeat(['v7', 'ustar'].includes(format) ? 3 : 11)}`;
    mkdirSync(join(dir, deep), { recursive: true });
    writeFileSync(join(dir, deep, 'file'), 'x'.repeat(1000));
    utimesSync(join(dir, deep, 'file'), 1e9, 1e9);
    const script = `ln ${deep}file hard; ln -s ${deep}file soft; mkfifo fifo; printf 1 > "$(printf 'n\\374r')"`;
    execFileSync('bash', ['-euc', format === 'v7' ? script.replace('mkfifo fifo;', '') : script], {
      cwd: dir,
    });
    const image = await imageOfBytes(tar(dir, [`--format=${format}`]));
    const file = node(image, `/${deep}file`);
    expect((await image.read(file)).toString()).toBe('x'.repeat(1000));
    expect(file.inode.mtime).toBe(1e9);
    expect(file.links).toEqual([`/${deep}file`, '/hard'].sort());
    expect(node(image, '/soft').inode.link).toBe(`${deep}file`);
    expect((await image.read(node(image, '/n\udcfcr'))).toString()).toBe('1');
    if (format !== 'v7') expect(node(image, '/fifo').kind).toBe('fifo');
  });
});

it('names of every length around the limits of the formats', async () => {
  for (const format of ['gnu', 'posix', 'ustar']) {
    const dir = temporaryDirectory();
    const names = [98, 99, 100, 101, 154, 155, 156, 200].map((length) => 'n'.repeat(length));
    const usable = names.filter((name) => format !== 'ustar' || name.length <= 100);
    for (const name of usable) {
      writeFileSync(join(dir, name), name);
      execFileSync('ln', ['-s', name, `l${name.length}`], { cwd: dir });
    }
    const image = await imageOfBytes(tar(dir, [`--format=${format}`]));
    for (const name of usable) {
      expect((await image.read(node(image, `/${name}`))).toString()).toBe(name);
      expect(node(image, `/l${name.length}`).inode.link).toBe(name);
    }
  }
});

it('a member that was appended again counts', async () => {
  const dir = temporaryDirectory();
  const file = join(dir, 'archive.tar');
  for (const content of ['first', 'second']) {
    writeFileSync(join(dir, 'a'), content);
    execFileSync('tar', ['-r', '-f', file, '-C', dir, 'a']);
  }
  const image = await imageOfBytes(readFileSync(file));
  expect(image.layers[0]?.entries).toHaveLength(2);
  expect((await image.read(node(image, '/a'))).toString()).toBe('second');
});

it('times with all their digits', async () => {
  const dir = temporaryDirectory();
  writeFileSync(join(dir, 'a'), '');
  execFileSync('touch', ['-d', '@1700000000.999999999', join(dir, 'a')]);
  const image = await imageOfBytes(tar(dir, ['--format=posix']));
  expect(node(image, '/a').inode.mtimeNanoseconds).toBe(999_999_999);
});
