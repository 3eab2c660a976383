import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Image } from '../../analyzer/image/types.js';
import { openImage } from '../../analyzer/transport/open-image.js';
import { Workspace } from '../../analyzer/workspace/workspace.js';
import { buildParts } from '../../builder/build-parts.js';
import { restoreImage } from '../../builder/restore/restore.js';
import {
  overlayFormats,
  type BuiltImage,
  type Overlay,
  type OverlayFormat,
} from '../../builder/types.js';
import { imageOfScripts, imageOfTars, keepSetOf, oddLayers } from './layered-image.js';

let dir: string;
let workspace: Workspace;
let image: Image;

const kept = [
  '/bin/app',
  '/etc/two',
  '/etc/conf',
  '/etc/db',
  '/usr/lib/link',
  '/srv/b',
  '/usr/lib/sparse',
];
const rewrites = [{ path: '/etc/db', content: Buffer.from('rewritten database\n'), why: 'test' }];

async function build(
  source: Image,
  format: OverlayFormat,
  squash = false,
  keep = kept,
): Promise<{ built: BuiltImage; overlay: Overlay; debloated: Image }> {
  const overlayFile = join(mkdtempSync(join(dir, 'out-')), `overlay.${format}`);
  const { built, overlay } = await buildParts(
    source,
    { keepSet: keepSetOf(keep), rewrites: source === image ? rewrites : [] },
    { overlay: format, overlayFile, squash, compression: squash ? 'zstd' : 'gzip' },
    { workspace, signal: new AbortController().signal },
    () => undefined,
  );
  const debloated = await openImage(`oci:${built.layout}`, { workspace });
  return { built, overlay, debloated };
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'restore-test-'));
  workspace = await Workspace.create();
  image = await imageOfScripts(dir, oddLayers);
});

afterAll(async () => {
  await workspace.dispose();
  rmSync(dir, { recursive: true, force: true });
});

describe.each(overlayFormats)('%s', (format) => {
  test.each([false, true])('restores every layer byte for byte (squashed: %s)', async (squash) => {
    const { overlay, debloated } = await build(image, format, squash);
    const restored = await restoreImage({ debloated, overlayFile: overlay.file, workspace });
    expect(restored.config.digest).toBe(image.config.digest);
    expect(restored.layers.map(({ diffId }) => diffId)).toEqual(
      image.layers.map(({ diffId }) => diffId),
    );
    // the layers of this image were not compressed, so even its manifest comes back
    expect(restored.sameManifest).toBe(true);
    expect(restored.manifest.digest).toBe(image.manifest.digest);
    for (const [index, { descriptor }] of restored.layers.entries()) {
      const blob = join(restored.layout, 'blobs/sha256', descriptor.digest.slice(7));
      const original = readFileSync(image.layers[index]?.file ?? '');
      expect(readFileSync(blob).equals(original), `layer ${index}`).toBe(true);
    }
    const reopened = await openImage(`oci:${restored.layout}`, { workspace });
    expect(reopened.config.digest).toBe(image.config.digest);
  });
});

test('nothing kept and everything kept both restore', async () => {
  const all = [...image.tree.nodes()].map((node) => node.path);
  for (const keep of [[], all]) {
    const { overlay, debloated } = await build(image, 'squashfs', false, keep);
    const restored = await restoreImage({ debloated, overlayFile: overlay.file, workspace });
    expect(restored.config.digest).toBe(image.config.digest);
  }
});

test('names through a symlink, directories without a member, a hardlink across layers', async () => {
  const root = mkdtempSync(join(dir, 'strange-'));
  execFileSync('bash', [
    '-euc',
    `cd "$1"
     mkdir -p real deep/er; ln -s real link; echo via > real/via; echo lone > deep/er/lone
     echo shared > first; ln first second
     tar -cf 0.tar --no-recursion deep/er/lone first real link
     tar -rf 0.tar --transform 's,^real/via,link/via,' real/via
     tar -cf 1.tar --no-recursion first second && tar --delete -f 1.tar first`,
    'bash',
    root,
  ]);
  const source = await imageOfTars([join(root, '0.tar'), join(root, '1.tar')]);
  expect(source.tree.get('/second')?.links).toEqual(['/first', '/second']);
  expect(source.tree.get('/real/via')?.entry.path).toBe('/link/via');
  for (const squash of [false, true]) {
    for (const keep of [[], ['/real/via', '/second'], ['/link']]) {
      const { overlay, debloated } = await build(source, 'squashfs', squash, keep);
      const dirs = [...debloated.tree.nodes()].filter(({ kind }) => kind === 'dir');
      expect(dirs.map(({ path }) => path)).toEqual(['/deep', '/deep/er', '/real']);
      const files = [...debloated.tree.nodes()].filter(({ kind }) => kind !== 'dir');
      expect(files.map(({ path }) => path)).toEqual(
        keep.includes('/second') ? ['/first', '/real/via', '/second'] : keep,
      );
      const restored = await restoreImage({ debloated, overlayFile: overlay.file, workspace });
      expect(restored.manifest.digest).toBe(source.manifest.digest);
    }
  }
});

test('an overlay of another image is refused, and says which image it belongs to', async () => {
  const other = await imageOfScripts(mkdtempSync(join(dir, 'other-')), [{ script: 'echo 1 > a' }]);
  const { overlay } = await build(other, 'squashfs', false, []);
  const { debloated } = await build(image, 'squashfs');
  await expect(
    restoreImage({ debloated, overlayFile: overlay.file, workspace }),
  ).rejects.toMatchObject({
    message: expect.stringMatching(/does not belong to .* made from oci:layout:tag/) as string,
    hint: expect.stringContaining('has the digest sha256:') as string,
  });
});

test('a file that is no overlay, or is not there, is refused', async () => {
  const { debloated } = await build(image, 'squashfs');
  const text = join(dir, 'text');
  writeFileSync(text, 'x'.repeat(5000));
  await expect(restoreImage({ debloated, overlayFile: text, workspace })).rejects.toThrow(
    /text is no overlay: it is neither squashfs, ext4 nor erofs/,
  );
  const missing = join(dir, 'missing');
  await expect(restoreImage({ debloated, overlayFile: missing, workspace })).rejects.toThrow(
    /missing cannot be read/,
  );
});

test('a flipped byte in the overlay never passes for the original', async () => {
  const { overlay, debloated } = await build(image, 'ext4');
  const damaged = join(dir, 'damaged.ext4');
  copyFileSync(overlay.file, damaged);
  const bytes = readFileSync(damaged);
  const at = bytes.indexOf(Buffer.from('removed\n')); // the content of /bin/tool
  expect(at).toBeGreaterThan(0);
  bytes[at] = 0x52;
  writeFileSync(damaged, bytes);
  await expect(restoreImage({ debloated, overlayFile: damaged, workspace })).rejects.toThrow(
    /layer 1 does not restore: its digest is sha256:[0-9a-f]+ instead of sha256:/,
  );
});
