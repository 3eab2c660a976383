import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Image } from '../../analyzer/image/types.js';
import { unpackTree } from '../../analyzer/image/unpack.js';
import { Workspace } from '../../analyzer/workspace/workspace.js';
import { select } from '../../builder/layers/selection.js';
import { overlayFormats, type OverlayFormat } from '../../builder/types.js';
import { writeRootDisk } from '../../builder/vm/root-disk.js';
import { imageOfScripts, keepSetOf, oddLayers } from './layered-image.js';
import { mounted, snapshot } from './tree-snapshot.js';

let dir: string;
let workspace: Workspace;
let image: Image;

/** One of a hardlink group, a rewritten file, file capabilities, a device, an odd name: see oddLayers. */
const rewrites = [{ path: '/etc/db', content: Buffer.from('rewritten database\n'), why: 'test' }];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'root-disk-test-'));
  workspace = await Workspace.create();
  image = await imageOfScripts(dir, oddLayers);
});

afterAll(async () => {
  await workspace.dispose();
  rmSync(dir, { recursive: true, force: true });
});

function write(format: OverlayFormat, file: string) {
  const everything = [...image.tree.nodes()].map(({ path }) => path);
  const keepSet = keepSetOf(everything.filter((path) => path !== '/bin/app'));
  return writeRootDisk({
    image,
    selection: select(image, keepSet, rewrites),
    own: [{ name: 'init', mode: 0o700, content: Buffer.from('program') }],
    format,
    freeSpace: 8 * 1024 * 1024,
    file,
    makes: `the root disk ${file}`,
    workspace,
  });
}

test.each(overlayFormats)(
  'the %s disk has the kept files exactly as the image has',
  async (format) => {
    const original = join(dir, `original-${format}`);
    mkdirSync(original);
    await unpackTree(image, original, { rewrites, include: ({ path }) => path !== '/bin/app' });
    const expected = snapshot(original);
    const file = join(dir, `root.${format}`);
    const { digest, size } = await write(format, file);

    const seen = mounted(file, format === 'ext4' ? 'noload' : 'ro', (root) => snapshot(root));
    const ours = [...seen.keys()].filter((path) => path.startsWith('/.debloat'));
    expect(ours.sort()).toEqual(['/.debloat', '/.debloat/init', '/.debloat/run', '/.debloat/top']);
    expect(seen.get('/.debloat')).toMatchObject({ mode: 0o40700, uid: 0, gid: 0, mtime: 0 });
    for (const path of ours) seen.delete(path);
    expect([...seen.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [path, record] of expected) {
      expect({ path, ...seen.get(path) }).toEqual({ path, ...record });
    }

    // some time later, in another place
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const again = await write(format, join(dir, `again.${format}`));
    expect(again).toEqual({ digest, size });
  },
);

test('an ext4 disk is clean, has a journal and room to write', async () => {
  const file = join(dir, 'room.ext4');
  await write('ext4', file);
  execFileSync('e2fsck', ['-fn', file], { stdio: 'pipe' });
  const facts = execFileSync('dumpe2fs', ['-h', file], { stdio: 'pipe' }).toString();
  expect(facts).toMatch(/^Filesystem features:.* has_journal/m);
  const free = Number(/^Free blocks: +(\d+)/m.exec(facts)?.[1]);
  expect(free * 4096).toBeGreaterThan(8 * 1024 * 1024);
});

test.each(overlayFormats)('a full disk (%s)', async (format) => {
  const full = mkdtempSync(join(dir, 'full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', full]);
  try {
    const file = join(full, 'root');
    await expect(write(format, file)).rejects.toThrow(
      `the disk is full: the root disk ${file} could not be written`,
    );
    expect(readdirSync(full).length).toBeLessThanOrEqual(1); // its directory goes as a whole
  } finally {
    execFileSync('umount', [full]);
  }
});
