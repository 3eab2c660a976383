import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../../test/support/image-of-bytes.js';
import { inspectKernel } from './kernel.js';

function fileOf(bytes: Buffer): string {
  const file = join(temporaryDirectory(), 'kernel');
  writeFileSync(file, bytes);
  return file;
}

function bzImage(is64: boolean): Buffer {
  const bytes = Buffer.alloc(0x1000);
  bytes.write('HdrS', 0x202, 'latin1');
  bytes.writeUInt16LE(0x20f, 0x206);
  bytes.writeUInt16LE(0x400, 0x20e);
  bytes.writeUInt16LE(is64 ? 1 : 0, 0x236);
  bytes.write('6.1.0-50-amd64 (debian-kernel@lists) #1 SMP\0', 0x600, 'latin1');
  return bytes;
}

function elf(machine: number, text = ''): Buffer {
  const bytes = Buffer.alloc(3 * 1024 * 1024);
  bytes.write('\x7fELF\x02\x01\x01', 'latin1');
  bytes.writeUInt16LE(machine, 18);
  // across the border of the chunks in which it is read
  bytes.write(text, 1024 * 1024 - 10, 'latin1');
  return bytes;
}

test('a bzImage tells its release and whether it is for 64 bits', async () => {
  expect(await inspectKernel(fileOf(bzImage(true)))).toEqual({
    kind: 'bzImage',
    architecture: 'amd64',
    release: '6.1.0-50-amd64',
  });
  expect(await inspectKernel(fileOf(bzImage(false)))).toMatchObject({ architecture: '386' });
});

test('a vmlinux tells its machine and, in its banner, its release', async () => {
  expect(await inspectKernel(fileOf(elf(62, 'Linux version 6.12.1+deb13 (gcc)')))).toEqual({
    kind: 'vmlinux',
    architecture: 'amd64',
    release: '6.12.1+deb13',
  });
  expect(await inspectKernel(fileOf(elf(183)))).toEqual({ kind: 'vmlinux', architecture: 'arm64' });
  expect(await inspectKernel(fileOf(elf(22)))).toMatchObject({ architecture: 'machine 22' });
});

test('an arm64 Image', async () => {
  const bytes = Buffer.alloc(4096);
  bytes.write('ARM\x64', 0x38, 'latin1');
  expect(await inspectKernel(fileOf(bytes))).toEqual({ kind: 'Image', architecture: 'arm64' });
});

test.each([
  ['an empty file', Buffer.alloc(0), 'give a kernel'],
  ['a short file', Buffer.from('\x7fELF', 'latin1'), 'give a kernel'],
  ['noise', Buffer.alloc(5000, 7), 'give a kernel'],
  ['a compressed Image', Buffer.from('1f8b0800', 'hex'), 'gunzip it first'],
])('%s is no kernel', async (_, bytes, hint) => {
  const file = fileOf(bytes);
  await expect(inspectKernel(file)).rejects.toMatchObject({
    message: `${file} is no kernel: it is neither a bzImage, an ELF vmlinux nor an arm64 Image`,
    hint: expect.stringContaining(hint) as string,
  });
});

test('a missing kernel', async () => {
  await expect(inspectKernel('/nowhere/vmlinuz')).rejects.toThrow(
    'the kernel /nowhere/vmlinuz cannot be read: ENOENT',
  );
});
