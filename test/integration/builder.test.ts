import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Image } from '../../analyzer/image/types.js';
import { Workspace } from '../../analyzer/workspace/workspace.js';
import { buildImage } from '../../builder/image/build.js';
import { buildOverlay } from '../../builder/overlay/build.js';
import { provenanceOf } from '../../builder/provenance.js';
import {
  overlayFormats,
  type BuiltImage,
  type Overlay,
  type OverlayFormat,
} from '../../builder/types.js';
import { imageOfScripts, imageOfTars, keepSetOf, oddLayers } from './layered-image.js';
import { mountedOver, snapshot, type FileRecord } from './tree-snapshot.js';
import { unpackTree } from '../../analyzer/image/unpack.js';

let dir: string;
let workspace: Workspace;
let image: Image;

/** A mix: one of a hardlink group, a link whose target is hidden, a rewritten file. */
const kept = [
  '/bin/app',
  '/etc/two',
  '/etc/conf',
  '/etc/db',
  '/usr/lib/link',
  '/srv/b',
  '/bin/ping',
];
const rewrites = [{ path: '/etc/db', content: Buffer.from('rewritten database\n'), why: 'test' }];

async function build(
  format: OverlayFormat,
  name: string,
  squash = false,
): Promise<{ built: BuiltImage; overlay: Overlay }> {
  const file = join(dir, `${name}.${format}`);
  let resolve: (diffIds: BuiltImage['layers'][number]['diffId'][]) => void;
  const diffIds = new Promise<BuiltImage['layers'][number]['diffId'][]>((done) => (resolve = done));
  const common = { image, keepSet: keepSetOf(kept), rewrites, workspace };
  const overlay = buildOverlay({ ...common, format, file, diffIds });
  const built = await buildImage({
    ...common,
    squash,
    annotations: overlay.then((done) => provenanceOf(image, done)),
    onLayers: (ids) => resolve(ids),
  });
  return { built, overlay: await overlay };
}

async function debloatedImage(built: BuiltImage): Promise<Image> {
  const files = built.layers.map(({ descriptor, diffId }, index) => {
    const file = join(dir, `${diffId.slice(7, 20)}-${index}.tar`);
    const blob = join(built.layout, 'blobs/sha256', descriptor.digest.slice(7));
    execFileSync('sh', ['-c', 'gzip -dc "$1" > "$2"', 'sh', blob, file]);
    return file;
  });
  return imageOfTars(files);
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'builder-test-'));
  workspace = await Workspace.create();
  image = await imageOfScripts(dir, oddLayers);
});

afterAll(async () => {
  await workspace.dispose();
  rmSync(dir, { recursive: true, force: true });
});

describe.each([false, true])('squash: %s', (squash) => {
  test('the debloated image shows the kept files exactly as the original does', async () => {
    const { built } = await build('squashfs', `kept-${String(squash)}`, squash);
    expect(built.layers).toHaveLength(squash ? 1 : 3);
    const debloated = await debloatedImage(built);
    const original = [...image.tree.nodes()];
    const keptNames = new Set([...kept, '/etc/three', '/srv/a', '/srv/c']);
    const expected = original.filter((node) => node.kind === 'dir' || keptNames.has(node.path));
    expect([...debloated.tree.nodes()].map((node) => node.path)).toEqual(
      expected.map((node) => node.path),
    );
    for (const node of expected) {
      const now = debloated.tree.get(node.path);
      const { mode, uid, gid, mtime, xattrs, link } = node.inode;
      expect({ path: node.path, ...pick(now?.inode) }).toEqual({
        path: node.path,
        ...pick({ mode, uid, gid, mtime, xattrs, link }),
      });
      expect(now?.links, node.path).toEqual(node.links);
      if (node.kind === 'file' && now) {
        const content = node.path === '/etc/db' ? rewrites[0]?.content : await image.read(node);
        expect(await debloated.read(now)).toEqual(content);
      }
    }
  });

  test('debloated image and overlay mounted over each other are the original tree', async () => {
    const original = join(dir, 'original');
    execFileSync('mkdir', ['-p', original]);
    await unpackTree(image, original);
    const expected = snapshot(original);
    for (const format of overlayFormats) {
      const { built, overlay } = await build(format, `mount-${String(squash)}`, squash);
      const lower = mkdtempSync(join(dir, 'lower-'));
      await unpackTree(await debloatedImage(built), lower);
      const seen = mountedOver(overlay.file, lower, (merged) => snapshot(merged));
      expectSameTree(seen, expected, format);
      rmSync(lower, { recursive: true });
    }
    rmSync(original, { recursive: true });
  });
});

test('image and overlay have the same digests in every run, time zone and umask', async () => {
  for (const format of overlayFormats) {
    const first = await build(format, 'first');
    const [timeZone, umask] = [process.env['TZ'], process.umask(0o077)];
    process.env['TZ'] = 'Asia/Kathmandu';
    const before = workspace;
    workspace = await Workspace.create();
    await new Promise((done) => setTimeout(done, 1100)); // the next second, for times that leak
    try {
      const second = await build(format, 'second');
      expect(second.overlay.digest, format).toBe(first.overlay.digest);
      expect(second.built.manifest.digest, format).toBe(first.built.manifest.digest);
      expect(readFileSync(second.overlay.file).equals(readFileSync(first.overlay.file))).toBe(true);
    } finally {
      await workspace.dispose();
      workspace = before;
      process.umask(umask);
      if (timeZone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = timeZone;
    }
  }
});

test('config and annotations: everything kept, pointers to source and overlay added', async () => {
  const { built, overlay } = await build('squashfs', 'config');
  const config = built.config.value;
  expect(config['moby.unknown']).toEqual({ nested: [1, 2] });
  expect(config.config?.Healthcheck).toEqual({ Test: ['CMD', 'true'], Interval: 30_000_000_000 });
  expect(config['created']).toBe('2024-01-02T03:04:05Z');
  expect(config.history).toHaveLength(4);
  expect(config.rootfs.diff_ids).toEqual(built.layers.map((layer) => layer.diffId));
  const provenance = {
    'dev.debloat.source.reference': 'oci:layout:tag',
    'dev.debloat.source.digest': image.manifest.digest,
    'dev.debloat.source.config': image.config.digest,
    'dev.debloat.overlay.digest': overlay.digest,
    'dev.debloat.overlay.format': 'squashfs',
    'dev.debloat.overlay.size': String(overlay.size),
  };
  expect(config.config?.Labels).toMatchObject({ keep: 'me', ...provenance });
  expect(built.manifest.value.annotations).toMatchObject({
    'org.example.kept': 'yes',
    ...provenance,
  });
});

test('an image that uses the reserved path is refused', async () => {
  const taken = await imageOfScripts(mkdtempSync(join(dir, 'taken-')), [
    { script: 'mkdir .debloat; echo x > .debloat/y' },
  ]);
  const options = { image: taken, keepSet: keepSetOf([]), workspace, diffIds: [] };
  const file = join(dir, 'taken.squashfs');
  await expect(buildOverlay({ ...options, format: 'squashfs', file })).rejects.toThrow(
    /contains \/\.debloat, which debloat reserves/,
  );
});

function pick(inode: object | undefined): object {
  const { mode, uid, gid, mtime, xattrs, link } = (inode ?? {}) as Record<string, unknown>;
  return { mode, uid, gid, mtime, xattrs, link };
}

function expectSameTree(
  seen: Map<string, FileRecord>,
  expected: Map<string, FileRecord>,
  format: OverlayFormat,
): void {
  for (const path of seen.keys()) if (path.startsWith('/.debloat')) seen.delete(path);
  expect([...seen.keys()].sort(), format).toEqual([...expected.keys()].sort());
  for (const [path, record] of expected) {
    expect({ format, path, ...seen.get(path) }).toEqual({ format, path, ...record });
  }
}

describe('failures leave nothing at the target', () => {
  const options = () => ({ image, keepSet: keepSetOf(kept), rewrites, workspace, diffIds: [] });

  test.each(overlayFormats)('a full disk (%s)', async (format) => {
    const full = mkdtempSync(join(dir, 'full-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', full]);
    try {
      const file = join(full, 'overlay');
      await expect(buildOverlay({ ...options(), format, file })).rejects.toThrow(
        `the disk is full: the overlay ${file} could not be written`,
      );
      expect(readdirSync(full)).toEqual([]);
    } finally {
      execFileSync('umount', [full]);
    }
  });

  test('a killed tool', async () => {
    const out = mkdtempSync(join(dir, 'killed-'));
    const tools = mkdtempSync(join(dir, 'tools-'));
    writeFileSync(join(tools, 'mksquashfs'), '#!/bin/sh\ntouch "$2"\nkill -9 $$\n', {
      mode: 0o755,
    });
    const file = join(out, 'overlay');
    const path = process.env['PATH'];
    process.env['PATH'] = `${tools}:${path ?? ''}`;
    try {
      await expect(buildOverlay({ ...options(), format: 'squashfs', file })).rejects.toThrow(
        `mksquashfs was killed by SIGKILL before the overlay ${file} was complete`,
      );
    } finally {
      process.env['PATH'] = path;
    }
    expect(readdirSync(out)).toEqual([]);
  });

  test('a missing tool', async () => {
    const file = join(mkdtempSync(join(dir, 'missing-')), 'overlay');
    const path = process.env['PATH'];
    process.env['PATH'] = mkdtempSync(join(dir, 'no-tools-'));
    try {
      await expect(buildOverlay({ ...options(), format: 'squashfs', file })).rejects.toMatchObject({
        message: `mksquashfs is needed for the overlay ${file} but is not installed`,
        hint: 'install it: apt-get install squashfs-tools',
      });
    } finally {
      process.env['PATH'] = path;
    }
  });

  test('an output directory that is not there', async () => {
    const file = join(dir, 'nowhere', 'overlay');
    await expect(buildOverlay({ ...options(), format: 'squashfs', file })).rejects.toThrow(
      `cannot write ${file}: `,
    );
    expect(existsSync(join(dir, 'nowhere'))).toBe(false);
  });

  test.each(overlayFormats)('an interruption (%s)', async (format) => {
    const out = mkdtempSync(join(dir, 'interrupted-'));
    const controller = new AbortController();
    const building = buildOverlay({
      ...options(),
      format,
      file: join(out, 'overlay'),
      diffIds: new Promise(() => undefined), // so that it cannot end by itself
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(), 200);
    await expect(building).rejects.toThrow(/abort/i);
    expect(readdirSync(out)).toEqual([]);
  });
});
