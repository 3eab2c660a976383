import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../test/support/image-of-bytes.js';
import { archive, member } from '../../test/support/raw-tar.js';
import { writeDockerArchive } from '../image/archive.js';
import { digestOf, hexOf } from '../image/digest.js';
import type { Digest } from '../image/types.js';
import { Workspace } from '../workspace/workspace.js';
import { openImage } from './open-image.js';

import {
  gzipped,
  gzipType,
  hello,
  imageOf,
  layout,
  open,
  tar,
} from '../../test/support/opened-layout.js';

describe('archives', () => {
  it('an OCI archive, compressed or not', async () => {
    const reference = imageOf({ tar, blob: gzipped, mediaType: gzipType });
    const dir = temporaryDirectory();
    for (const flag of ['--no-auto-compress', '--gzip', '--zstd']) {
      const file = join(dir, `image${flag}.tar`);
      execFileSync('tar', ['-c', flag, '-f', file, '-C', reference.slice('oci:'.length), '.']);
      expect(await open(`oci-archive:${file}`, hello)).toBe('world');
    }
  });

  async function dockerArchive(tags: string[], ...layers: Buffer[]): Promise<string> {
    const dir = temporaryDirectory();
    const files = layers.map((bytes, i) => {
      const file = join(dir, `layer-${i}`);
      writeFileSync(file, bytes);
      return { file, size: bytes.length };
    });
    const configBytes = Buffer.from(
      JSON.stringify({
        os: 'linux',
        architecture: 'amd64',
        rootfs: { type: 'layers', diff_ids: layers.map(() => digestOf(tar)) },
      }),
    );
    const parts = { configBytes, configDigest: digestOf(configBytes), layers: files, tags };
    const file = join(dir, 'image.tar');
    writeFileSync(file, await buffer(writeDockerArchive(parts)));
    return file;
  }

  it('of docker save, in place: nothing is copied', async () => {
    const file = await dockerArchive(['a:1', 'example.org/b:2'], tar, gzipped);
    for (const tag of ['', ':a:1', ':1', ':example.org/b:2', ':docker.io/library/a:1']) {
      expect(await open(`docker-archive:${file}${tag}`, hello)).toBe('world');
    }
    await open(`docker-archive:${file}`, (image) => {
      expect(image.layers[0]?.file).toBe(image.layers[0]?.blob);
      expect(image.layers[1]?.file).not.toBe(image.layers[1]?.blob);
      expect(image.manifest.value.layers[1]?.mediaType).toMatch(/\.gzip$/);
      expect(image.manifest.value.config.digest).toBe(digestOf(image.config.bytes));
    });
    await expect(open(`docker-archive:${file}:c`, hello)).rejects.toMatchObject({
      hint: 'it has: a:1, example.org/b:2',
    });
  });

  it('of docker save with a damaged layer', async () => {
    const file = await dockerArchive([], archive(member({ name: 'other' })));
    await expect(open(`docker-archive:${file}`, hello)).rejects.toThrow(/layer 1 .*instead of/);
  });

  it('that end early', async () => {
    const file = await dockerArchive([], tar);
    truncateSync(file, 5000);
    await expect(open(`docker-archive:${file}`, hello)).rejects.toThrow(
      'is damaged or no tar archive',
    );
  });

  it('of docker save where a layer is a link to another', async () => {
    const configBytes = Buffer.from(
      JSON.stringify({
        os: 'linux',
        architecture: 'amd64',
        rootfs: { type: 'layers', diff_ids: [digestOf(tar), digestOf(tar)] },
      }),
    );
    const bytes = archive(
      member({ name: 'one/layer.tar', data: tar }),
      member({ name: 'two/layer.tar', type: '2', link: '../one/layer.tar' }),
      member({ name: 'config.json', data: configBytes }),
      member({
        name: 'manifest.json',
        data: JSON.stringify([
          { Config: 'config.json', RepoTags: null, Layers: ['one/layer.tar', 'two/layer.tar'] },
        ]),
      }),
    );
    const file = join(temporaryDirectory(), 'image.tar');
    writeFileSync(file, bytes);
    expect(await open(`docker-archive:${file}`, (image) => image.layers.length)).toBe(2);
  });
});

it("a directory of skopeo's", async () => {
  const writer = layout();
  const manifest = writer.image([{ tar, blob: gzipped, mediaType: gzipType }]);
  const dir = temporaryDirectory();
  const { config } = JSON.parse(readFileSync(writer.file(manifest.digest), 'utf8')) as {
    config: { digest: Digest };
  };
  writeFileSync(join(dir, 'manifest.json'), readFileSync(writer.file(manifest.digest)));
  writeFileSync(join(dir, hexOf(config.digest)), readFileSync(writer.file(config.digest)));
  await expect(open(`dir:${dir}`, hello)).rejects.toThrow('layer 1');
  writeFileSync(join(dir, hexOf(digestOf(gzipped))), gzipped);
  expect(await open(`dir:${dir}`, hello)).toBe('world');
  expect(readFileSync(join(dir, hexOf(digestOf(gzipped)))).equals(gzipped)).toBe(true);
});

it('leaves nothing behind, also when it fails', async () => {
  const parent = temporaryDirectory();
  const workspace = await Workspace.create(parent);
  const reference = imageOf({ tar, diffId: `sha256:${'5'.repeat(64)}` });
  await expect(openImage(reference, { workspace })).rejects.toThrow('instead of');
  await workspace.dispose();
  expect(readdirSync(parent)).toEqual([]);
  expect(existsSync(reference.slice('oci:'.length))).toBe(true);
});

it('ends with the signal', async () => {
  const stop = new AbortController();
  stop.abort(new Error('interrupted'));
  await expect(
    open(imageOf({ tar, blob: gzipped }), hello, { signal: stop.signal }),
  ).rejects.toThrow(/abort|interrupted/);
});
