import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, vi } from 'vitest';
import { tagged } from '../../test/support/oci-layout.js';
import { archive, member } from '../../test/support/raw-tar.js';
import { digestOf } from '../image/digest.js';
import { mediaTypes } from '../image/manifest.js';
import type { Digest } from '../image/types.js';
import type { AcquireProgress } from './acquired.js';
import { parsePlatform } from './platform.js';

import {
  gzipped,
  gzipType,
  hello,
  imageOf,
  layout,
  open,
  tar,
  through,
} from '../../test/support/opened-layout.js';

describe('layers', () => {
  it.each([
    ['uncompressed', tar, mediaTypes.ociLayer],
    ['gzip', gzipped, gzipType],
    ['zstd', through('zstd', tar), `${mediaTypes.ociLayer}+zstd`],
    ['xz under a wrong media type', through('xz', tar), gzipType],
    [
      'several gzip members',
      Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))]),
      gzipType,
    ],
    ['gzip with garbage behind', Buffer.concat([gzipped, Buffer.from('garbage')]), gzipType],
    ['gzip with zeros behind', Buffer.concat([gzipped, Buffer.alloc(3000)]), gzipType],
  ])('%s', async (_, blob, mediaType) => {
    const seen: AcquireProgress[] = [];
    await open(
      imageOf({ tar, blob, mediaType }),
      async (image) => {
        expect(await hello(image)).toBe('world');
        const [layer] = image.layers;
        expect(layer).toMatchObject({ diffId: digestOf(tar), size: tar.length });
        expect(layer?.descriptor.digest).toBe(digestOf(blob));
        expect(layer?.compressedSize).toBe(blob === tar ? undefined : blob.length);
        expect(layer && readFileSync(layer.file).equals(tar)).toBe(true);
        expect(layer?.blob && readFileSync(layer.blob).equals(blob)).toBe(true);
      },
      { progress: (progress) => seen.push({ ...progress }) },
    );
    expect(seen.at(-1)).toEqual({ stage: 'unpack', bytes: blob.length, total: blob.length });
  });

  it('many, in order', async () => {
    const layers = Array.from({ length: 9 }, (_, i) => {
      const content = archive(member({ name: 'hello', data: String(i) }));
      return { tar: content, blob: gzipSync(content), mediaType: gzipType };
    });
    await open(imageOf(...layers), async (image) => {
      expect(await hello(image)).toBe('8');
      expect(image.layers.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    });
  });

  it('keep their documents byte for byte', async () => {
    const writer = layout();
    const descriptor = writer.image([{ tar }], {
      config: { config: { Healthcheck: { Test: ['CMD', 'x'] } }, 'x.unknown': [1, { a: null }] },
    });
    writer.index([descriptor]);
    await open(`oci:${writer.dir}`, (image) => {
      expect(image.manifest.digest).toBe(descriptor.digest);
      expect(image.manifest.bytes.equals(readFileSync(writer.file(descriptor.digest)))).toBe(true);
      expect(digestOf(image.config.bytes)).toBe(image.manifest.value.config.digest);
      expect(image.config.value['x.unknown']).toEqual([1, { a: null }]);
      expect(image.platform).toEqual({ os: 'linux', architecture: 'amd64' });
    });
  });
});

describe('damaged layers are refused by number and digest', () => {
  const whole = digestOf(gzipped);
  const other: Digest = `sha256:${'5'.repeat(64)}`;

  /** An image with a sound layer and a second one, whose stored blob is then changed. */
  function damaged(change: (file: string) => void): string {
    const writer = layout();
    const empty = archive();
    writer.index([writer.image([{ tar: empty }, { tar, blob: gzipped, mediaType: gzipType }])]);
    change(writer.file(whole));
    return `oci:${writer.dir}`;
  }

  it.each([
    [
      'truncated',
      (file: string) => truncateSync(file, 100),
      /layer 2 \(sha256:[0-9a-f]{64}\) has 100 bytes instead of \d+$/,
    ],
    [
      'overwritten within',
      (file: string) => {
        const bytes = Buffer.from(gzipped);
        bytes.fill(0xff, 60, 70);
        writeFileSync(file, bytes);
      },
      /layer 2 \(sha256:.*\) is damaged: its bytes have the digest sha256:/,
    ],
    [
      'another file of that size',
      (file: string) => writeFileSync(file, Buffer.alloc(gzipped.length)),
      /layer 2 .* is damaged/,
    ],
    ['missing', (file: string) => rmSync(file), /is incomplete: layer 2 \(sha256:.*\) is missing/],
  ])('%s', async (_, change, message) => {
    await expect(open(damaged(change), hello)).rejects.toThrow(message);
    await expect(open(damaged(change), hello)).rejects.toThrow(whole);
  });

  it.each([
    [
      'a wrong diff ID',
      { tar, blob: gzipped, mediaType: gzipType, diffId: other },
      `digest is ${digestOf(tar)} instead of ${other}`,
    ],
    [
      'a compressed stream that ends early',
      { tar, blob: gzipped.subarray(0, -20), mediaType: gzipType },
      'cannot be decompressed (gzip): unexpected end of file',
    ],
    [
      'a zstd stream that ends early',
      { tar, blob: through('zstd', tar).subarray(0, -20) },
      'cannot be decompressed (zstd)',
    ],
    ['no tar at all', { tar: Buffer.alloc(600, 'x') }, 'layer 1'],
    [
      'an entry that climbs out',
      { tar: archive(member({ name: '../etc/passwd' })) },
      'entry "../etc/passwd": its name contains `..`',
    ],
    ['a truncated tar', { tar: tar.subarray(0, 2000) }, 'entry "zeros": it claims'],
  ])('%s', async (_, layer, message) => {
    await expect(open(imageOf(layer), hello)).rejects.toThrow(message);
  });
});

it('layers whose decompressor is not installed are refused with what to install', async () => {
  const reference = imageOf({ tar, blob: through('zstd', tar) });
  vi.stubEnv('PATH', '/nowhere');
  try {
    await expect(open(reference, hello)).rejects.toMatchObject({
      message: expect.stringContaining('zstd, which is not installed') as string,
      hint: 'install it: apt install zstd',
    });
    await expect(open('registry://localhost:1/x', hello)).rejects.toThrow(
      'skopeo is not installed',
    );
  } finally {
    vi.unstubAllEnvs();
  }
});

describe('what is no image to debloat', () => {
  it.each([
    [
      'a Helm chart',
      { configType: 'application/vnd.cncf.helm.config.v1+json' },
      'is a Helm chart, not a container image',
    ],
    [
      'an artifact',
      {
        configType: 'application/vnd.oci.empty.v1+json',
        manifest: { artifactType: 'application/x' },
      },
      'is an artifact (application/x)',
    ],
    ['a Windows image', { config: { os: 'windows' } }, 'is an image for windows, not Linux'],
    ['schema 1', { manifest: { schemaVersion: 1 } }, 'obsolete schema 1'],
    ['a broken manifest', { manifest: { layers: 'none' } }, 'is malformed: layers'],
    ['a broken config', { config: { rootfs: {} } }, 'is malformed: rootfs'],
    [
      'more layers than diff IDs',
      { config: { rootfs: { type: 'layers', diff_ids: [] } } },
      'its manifest lists 1 layers, its config 0',
    ],
  ])('%s', async (_, options, message) => {
    const writer = layout();
    writer.index([writer.image([{ tar }], options)]);
    await expect(open(`oci:${writer.dir}`, hello)).rejects.toThrow(message);
  });

  it.each([
    ['no layers', [], 'has no layers'],
    ['an encrypted layer', [{ tar, mediaType: `${gzipType}+encrypted` }], 'layer 1 (sha256:'],
    [
      'a foreign layer',
      [{ tar, mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' }],
      'not distributable',
    ],
    ['a layer of an unknown type', [{ tar, mediaType: 'text/plain' }], 'unknown type "text/plain"'],
  ])('%s', async (_, layers, message) => {
    await expect(open(imageOf(...layers), hello)).rejects.toThrow(message);
  });

  it.each([
    [
      'a directory that is not there',
      'oci:/nowhere/at/all',
      'there is no directory /nowhere/at/all',
    ],
    ['a file that is not there', 'docker-archive:/nowhere.tar', 'there is no file /nowhere.tar'],
    ['a directory without index', `oci:${import.meta.dirname}`, 'not an OCI image layout'],
    ['a directory without manifest', `dir:${import.meta.dirname}`, 'not an image directory'],
    ['a file that is no tar', `oci-archive:${import.meta.filename}`, 'damaged or no tar archive'],
  ])('%s', async (_, reference, message) => {
    await expect(open(reference, hello)).rejects.toThrow(message);
  });
});

describe('an OCI layout', () => {
  const numbered = (name: string) => ({ tar: archive(member({ name: 'hello', data: name })) });

  it('of several images wants a tag', async () => {
    const writer = layout();
    writer.index([
      tagged(writer.image([numbered('one')]), '1'),
      tagged(writer.image([numbered('two')]), 'example.org/team/api:2'),
    ]);
    const reference = `oci:${writer.dir}`;
    expect(await open(`${reference}:1`, hello)).toBe('one');
    expect(await open(`${reference}:2`, hello)).toBe('two');
    expect(await open(`${reference}:example.org/team/api:2`, hello)).toBe('two');
    await expect(open(reference, hello)).rejects.toMatchObject({
      message: expect.stringContaining('several images') as string,
      hint: `add one of its tags: ${reference}:1, ${reference}:example.org/team/api:2`,
    });
    await expect(open(`${reference}:3`, hello)).rejects.toThrow('no image tagged "3"');
  });

  it('of several platforms gives the one asked for', async () => {
    const writer = layout();
    const forPlatform = (architecture: string, variant?: string) => ({
      ...writer.image([numbered(architecture)], {
        config: { architecture, ...(variant && { variant }) },
      }),
      platform: { os: 'linux', architecture, ...(variant && { variant }) },
    });
    const index = writer.blob(mediaTypes.ociIndex, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [
        forPlatform('s390x'),
        forPlatform('arm', 'v7'),
        { ...forPlatform('x'), platform: { os: 'unknown', architecture: 'unknown' } },
      ],
    });
    writer.index([tagged(index, 'multi')]);
    const reference = `oci:${writer.dir}:multi`;
    expect(await open(reference, hello, { platform: parsePlatform('linux/s390x') })).toBe('s390x');
    expect(await open(reference, hello, { platform: parsePlatform('linux/arm') })).toBe('arm');
    await expect(
      open(reference, hello, { platform: parsePlatform('linux/amd64') }),
    ).rejects.toMatchObject({
      message: `${reference} has no image for linux/amd64`,
      hint: expect.stringContaining('linux/s390x, linux/arm/v7') as string,
    });
  });

  it('of another platform is refused', async () => {
    const options = { platform: parsePlatform('linux/arm64') };
    await expect(open(imageOf({ tar }), hello, options)).rejects.toThrow(
      'is for linux/amd64, not for linux/arm64',
    );
  });

  it('with a changed manifest or config is refused', async () => {
    for (const which of ['manifest', 'config'] as const) {
      const writer = layout();
      const manifest = writer.image([{ tar }]);
      writer.index([manifest]);
      const { config } = JSON.parse(readFileSync(writer.file(manifest.digest), 'utf8')) as {
        config: { digest: Digest };
      };
      const file = writer.file(which === 'manifest' ? manifest.digest : config.digest);
      writeFileSync(file, `${readFileSync(file, 'utf8')} `);
      await expect(open(`oci:${writer.dir}`, hello)).rejects.toThrow(
        new RegExp(`the ${which} of .* is damaged: its digest is sha256:.* instead of sha256:`),
      );
    }
  });
});
