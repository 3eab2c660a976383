import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { assembleImage } from '../../analyzer/image/image.js';
import { indexLayer } from '../../analyzer/image/index-layer.js';
import type { Image, Layer } from '../../analyzer/image/types.js';

/** A directory that goes when the test ends. */
export function temporaryDirectory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'debloat-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** An image whose layers are these tars; its documents are empty. */
export async function imageOfBytes(...tars: Buffer[]): Promise<Image> {
  const dir = temporaryDirectory();
  const layers: Layer[] = [];
  for (const [index, bytes] of tars.entries()) {
    const file = join(dir, `${index}.tar`);
    writeFileSync(file, bytes);
    const digest = 'sha256:0';
    layers.push({
      index,
      descriptor: {
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        digest,
        size: bytes.length,
      },
      diffId: digest,
      size: bytes.length,
      file,
      entries: await indexLayer(file, { index, name: `layer ${index + 1}` }),
    });
  }
  const empty = { bytes: Buffer.alloc(0), digest: 'sha256:0', mediaType: '' } as const;
  const image = assembleImage({
    reference: 'test',
    platform: { os: 'linux', architecture: 'amd64' },
    manifest: {
      ...empty,
      value: {
        schemaVersion: 2,
        config: { mediaType: '', digest: 'sha256:0', size: 0 },
        layers: layers.map(({ descriptor }) => descriptor),
      },
    },
    config: {
      ...empty,
      value: {
        os: 'linux',
        architecture: 'amd64',
        rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
      },
    },
    layers,
  });
  onTestFinished(() => image.close?.());
  return image;
}
