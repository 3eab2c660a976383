import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { Workspace } from '../../analyzer/workspace/workspace.js';
import { temporaryDirectory } from '../../test/support/image-of-bytes.js';
import { moduleInfo } from './module-info.js';
import { findModules, type ModuleRequest } from './modules.js';

const release = '6.1.0-1-test';

function moduleBytes(depends = '', of = release): Buffer {
  return Buffer.from(`\x7fELF…\0license=GPL\0depends=${depends}\0vermagic=${of} SMP mod_unload \0`);
}

/** A directory of modules: by path their dependencies, or their bytes. */
function modules(files: Record<string, string | Buffer>, builtIn: string[] = []): string {
  const dir = temporaryDirectory();
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), Buffer.isBuffer(content) ? content : moduleBytes(content));
  }
  if (builtIn.length > 0) {
    writeFileSync(join(dir, 'modules.builtin'), builtIn.map((path) => `${path}\n`).join(''));
  }
  return dir;
}

const all = {
  'kernel/drivers/virtio/virtio_pci.ko': 'virtio_ring,virtio',
  'kernel/drivers/virtio/virtio_ring.ko': '',
  'kernel/drivers/virtio/virtio.ko': '',
  'kernel/drivers/block/virtio_blk.ko': 'virtio_ring,virtio',
  'kernel/fs/squashfs/squashfs.ko': '',
  'kernel/fs/overlayfs/overlay.ko': '',
  'kernel/fs/ext4/ext4.ko': 'jbd2,crc16',
  'kernel/fs/jbd2/jbd2.ko': '',
  'kernel/lib/crc16.ko': '',
  'kernel/drivers/net/virtio_net.ko': 'net-failover',
  'kernel/drivers/net/net_failover.ko': '',
  'kernel/drivers/acpi/button.ko': '',
};

function without(path: keyof typeof all): Record<string, string> {
  return Object.fromEntries(Object.entries(all).filter(([name]) => name !== path));
}

async function find(dir: string, more: Partial<ModuleRequest> = {}) {
  const workspace = await Workspace.create(temporaryDirectory());
  onTestFinished(() => workspace.dispose());
  const found = await findModules({ dir, release, root: 'squashfs', workspace, ...more });
  return { names: found.modules.map(({ name }) => name), ...found };
}

test('what a module says of itself', () => {
  expect(moduleInfo(moduleBytes('a-b,c'))).toEqual({ depends: ['a_b', 'c'], release });
  expect(moduleInfo(Buffer.from('nothing'))).toEqual({ depends: [], release: '' });
});

test('modules come after those that they depend on, and only those needed', async () => {
  const { names, warnings } = await find(modules(all));
  expect(names).toEqual([
    ...['virtio_ring', 'virtio', 'virtio_pci', 'virtio_blk', 'squashfs', 'overlay'],
    ...['net_failover', 'virtio_net', 'button'],
  ]);
  expect(warnings).toEqual([]);
  const ext4 = await find(modules(all), { root: 'ext4' });
  expect(ext4.names).toContain('jbd2');
  expect(ext4.names).not.toContain('overlay');
});

test('modules that are built in need no file', async () => {
  const others = without('kernel/drivers/virtio/virtio_pci.ko');
  const built = ['kernel/drivers/virtio/virtio_pci.ko', 'kernel/drivers/virtio/virtio-mmio.ko'];
  expect((await find(modules(others, built))).names).not.toContain('virtio_pci');
});

test('the directory above, with one for each release', async () => {
  const files = Object.entries(all).map(([path, depends]): [string, string] => [
    `${release}/${path}`,
    depends,
  ]);
  const dir = modules({ ...Object.fromEntries(files), 'other/x.ko': moduleBytes('', 'other') });
  expect((await find(dir)).names).toContain('squashfs');
});

test('compressed modules', async () => {
  const dir = modules({
    ...all,
    'kernel/fs/squashfs/squashfs.ko': moduleBytes(),
    'kernel/fs/erofs/erofs.ko.gz': gzipSync(moduleBytes('lz4')),
  });
  const lz4 = join(dir, 'kernel/lib/lz4.ko');
  writeFileSync(lz4, moduleBytes());
  execFileSync('xz', [lz4]);
  const { modules: found } = await find(dir, { root: 'erofs' });
  for (const name of ['lz4', 'erofs']) {
    const content = found.find((module) => module.name === name)?.content.toString('latin1');
    expect(content?.slice(1, 4)).toBe('ELF');
  }
});

test('one that is missing is named, and what to do about it', async () => {
  const others = without('kernel/fs/overlayfs/overlay.ko');
  const silent = modules(others);
  await expect(find(silent)).rejects.toMatchObject({
    message: `the microVM's kernel module overlay is not in ${silent}`,
    hint: 'if the kernel has it built in, its file modules.builtin belongs there too',
  });
  await expect(find(modules(others, ['kernel/fs/nfs/nfs.ko']))).rejects.toMatchObject({
    hint: expect.stringContaining('another --vm-root') as string,
  });
  await expect(find('/nowhere')).rejects.toThrow("the kernel's modules /nowhere cannot be read");
});

test('modules of another kernel are refused', async () => {
  const dir = modules({ ...all, 'kernel/fs/squashfs/squashfs.ko': moduleBytes('', '5.10.0-9') });
  await expect(find(dir)).rejects.toThrow(
    `squashfs.ko is for the kernel 5.10.0-9, not for ${release}`,
  );
});

test('what the machine will lack is told', async () => {
  const others = without('kernel/drivers/net/virtio_net.ko');
  expect((await find(modules(others))).warnings).toEqual([
    "The microVM's kernel has no module virtio_net: it has no network.",
  ]);
});
