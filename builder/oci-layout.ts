import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DebloatError, messageOf } from '../analyzer/errors.js';
import { digestOf, hexOf } from '../analyzer/image/digest.js';
import type { Descriptor, Digest } from '../analyzer/image/types.js';
import { makeDirectory } from '../analyzer/workspace/make-directory.js';
import { explainWriteError } from './stream/blob.js';

export const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  empty: 'application/vnd.oci.empty.v1+json',
} as const;

const refName = 'org.opencontainers.image.ref.name';

export interface Index {
  schemaVersion: 2;
  mediaType?: string;
  manifests: Descriptor[];
  annotations?: Record<string, string>;
}

/** An OCI image layout on disk (OCI image spec, image-layout.md). */
export class OciLayout {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Open the layout at `dir`, or make an empty one there. */
  static async openOrCreate(dir: string): Promise<OciLayout> {
    try {
      await makeDirectory(resolve(dir, 'blobs', 'sha256'));
      if (!existsSync(join(dir, 'oci-layout'))) {
        await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
      }
      const layout = new OciLayout(dir);
      if (!existsSync(join(dir, 'index.json'))) {
        await layout.writeIndex({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] });
      }
      return layout;
    } catch (error) {
      throw explainWriteError(error, dir);
    }
  }

  /** Open the layout at `dir`; rejects with a DebloatError if there is none. */
  static open(dir: string): OciLayout {
    if (!existsSync(join(dir, 'oci-layout'))) {
      throw new DebloatError(`${dir} is no OCI image layout`, {
        hint: 'an OCI layout is a directory with the files oci-layout and index.json',
      });
    }
    return new OciLayout(dir);
  }

  /** The file of a blob, there or not. */
  blob(digest: Digest): string {
    return join(this.dir, 'blobs', 'sha256', hexOf(digest));
  }

  /** Store a small document; returns its descriptor. */
  async put(bytes: Buffer, mediaType: string): Promise<Descriptor> {
    const digest = digestOf(bytes);
    await replaceFile(this.blob(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  async readIndex(): Promise<Index> {
    try {
      return JSON.parse(await readFile(join(this.dir, 'index.json'), 'utf8')) as Index;
    } catch (error) {
      throw new DebloatError(`${this.dir}/index.json cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  async writeIndex(index: Index): Promise<void> {
    await replaceFile(join(this.dir, 'index.json'), Buffer.from(JSON.stringify(index)));
  }

  /** Let `tag` (or no name) point to `manifest`; other entries of the index stay as they are. */
  async tag(manifest: Descriptor, tag?: string): Promise<void> {
    const index = await this.readIndex();
    const others = index.manifests.filter((entry) =>
      tag === undefined
        ? entry.digest !== manifest.digest || entry.annotations?.[refName] !== undefined
        : entry.annotations?.[refName] !== tag,
    );
    const entry =
      tag === undefined
        ? manifest
        : { ...manifest, annotations: { ...manifest.annotations, [refName]: tag } };
    await this.writeIndex({ ...index, manifests: [...others, entry] });
  }
}

/** Write `file` so that a reader sees the old content or the new one, never a part. */
async function replaceFile(file: string, bytes: Buffer): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  await writeFile(partial, bytes);
  await rename(partial, file);
}
