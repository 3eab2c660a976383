import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack, type Pack } from 'tar-stream';
import { hexOf } from './digest.js';
import type { Digest } from './types.js';

/** What a docker-archive needs; layers as files, base first, compressed or not. */
export interface ArchiveParts {
  configBytes: Buffer;
  configDigest: Digest;
  layers: readonly { file: string; /** Bytes. */ size: number }[];
  /** Names for the engine to give the image: "app:slim"; none leaves it nameless. */
  tags: readonly string[];
}

/**
 * A docker-archive (the format of `docker save`) for `docker load` or a file. The same parts give the
 * same bytes. Destroying the stream ends the work.
 */
export function writeDockerArchive(parts: ArchiveParts): Readable {
  const archive = pack();
  write(archive, parts).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return archive as unknown as Readable;
}

async function write(archive: Pack, parts: ArchiveParts): Promise<void> {
  const config = `${hexOf(parts.configDigest)}.json`;
  const layers = parts.layers.map((_, position) => `layer-${position}.tar`);
  const manifest = [{ Config: config, RepoTags: parts.tags, Layers: layers }];
  await writeBytes(archive, 'manifest.json', Buffer.from(JSON.stringify(manifest)));
  await writeBytes(archive, config, parts.configBytes);
  for (const [position, { file, size }] of parts.layers.entries()) {
    const member = archive.entry({ ...header, name: layers[position] ?? '', size });
    await pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), member);
  }
}

const header = { mode: 0o644, mtime: new Date(0) };

function writeBytes(archive: Pack, name: string, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    archive.entry({ ...header, name }, bytes, (error) => (error ? reject(error) : resolve()));
  });
}
