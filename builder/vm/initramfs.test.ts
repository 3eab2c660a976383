import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { initramfs } from './initramfs.js';

/** The members of a newc archive. */
function members(
  archive: Buffer,
): { name: string; mode: number; content: string; rdev: number[] }[] {
  const found = [];
  for (let at = 0; ;) {
    expect(archive.toString('latin1', at, at + 6)).toBe('070701');
    const field = (n: number) =>
      parseInt(archive.toString('latin1', at + 6 + n * 8, at + 14 + n * 8), 16);
    const name = archive.toString('latin1', at + 110, at + 110 + field(11) - 1);
    const start = (at + 110 + field(11) + 3) & ~3;
    if (name === 'TRAILER!!!') return found;
    const content = archive.toString('latin1', start, start + field(6));
    found.push({ name, mode: field(1), content, rdev: [field(9), field(10)] });
    at = (start + field(6) + 3) & ~3;
  }
}

test('the init, the console and the modules in their order; the same bytes every time', () => {
  const modules = [
    { name: 'virtio', content: Buffer.from('one') },
    { name: 'squashfs', content: Buffer.from('twoo') },
  ];
  const bytes = initramfs(Buffer.from('program'), modules);
  expect(bytes.equals(initramfs(Buffer.from('program'), modules))).toBe(true);
  const found = new Map(members(gunzipSync(bytes)).map((member) => [member.name, member]));
  expect(found.get('init')).toMatchObject({ mode: 0o100755, content: 'program' });
  expect(found.get('dev/console')).toMatchObject({ mode: 0o20600, rdev: [5, 1] });
  expect(found.get('debloat/order')?.content).toBe('virtio\nsquashfs\n');
  expect(found.get('debloat/squashfs.ko')?.content).toBe('twoo');
});
