import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf, hexOf } from '../../analyzer/image/digest.js';
import { mediaTypes } from '../../analyzer/image/manifest.js';
import type { Descriptor, Digest } from '../../analyzer/image/types.js';

export interface LayoutLayer {
  /** Uncompressed. */
  tar: Buffer;
  /** As stored; default: the tar itself. */
  blob?: Buffer;
  mediaType?: string;
  /** What the config claims; default: the truth. */
  diffId?: Digest;
}

/** Writes OCI image layouts for tests, wrong ones if it is told to. */
export class LayoutWriter {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
    mkdirSync(join(dir, 'blobs/sha256'), { recursive: true });
    writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  }

  /** Where a blob lies. */
  file(digest: Digest): string {
    return join(this.dir, 'blobs/sha256', hexOf(digest));
  }

  blob(mediaType: string, content: Buffer | object): Descriptor {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const digest = digestOf(bytes);
    writeFileSync(this.file(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /** The manifest of an image with these layers. */
  image(
    layers: LayoutLayer[],
    options: { config?: object; manifest?: object; configType?: string } = {},
  ): Descriptor {
    const config = this.blob(options.configType ?? mediaTypes.ociConfig, {
      os: 'linux',
      architecture: 'amd64',
      rootfs: {
        type: 'layers',
        diff_ids: layers.map(({ tar, diffId }) => diffId ?? digestOf(tar)),
      },
      ...options.config,
    });
    return this.blob(mediaTypes.ociManifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config,
      layers: layers.map(({ tar, blob, mediaType }) =>
        this.blob(mediaType ?? mediaTypes.ociLayer, blob ?? tar),
      ),
      ...options.manifest,
    });
  }

  index(manifests: object[]): void {
    writeFileSync(
      join(this.dir, 'index.json'),
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }),
    );
  }
}

/** A descriptor under a tag. */
export function tagged(descriptor: Descriptor, tag: string): Descriptor {
  return { ...descriptor, annotations: { 'org.opencontainers.image.ref.name': tag } };
}
