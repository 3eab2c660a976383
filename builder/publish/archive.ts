import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readdir, rename, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { writeDockerArchive } from '../../analyzer/image/archive.js';
import { encodeHeader } from '../../analyzer/image/tar-encode.js';
import { familiarName, parseImageName } from '../../analyzer/transport/reference.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import { contentMember, endOfTar } from '../layers/members.js';
import { explainWriteError } from '../stream/blob.js';
import { readPieces, type Piece } from '../stream/pieces.js';
import type { BuiltImage, Overlay } from '../types.js';
import { engineLayers } from './engine-layers.js';
import { publishToLayout } from './layout.js';
import type { Published } from './published.js';

interface ArchiveOptions {
  overlay?: Overlay | undefined;
  workspace: Workspace;
  signal?: AbortSignal | undefined;
}

/** Write an OCI layout with the image (and its overlay) as one tar. */
export async function publishOciArchive(
  built: BuiltImage,
  path: string,
  tag: string | undefined,
  options: ArchiveOptions,
): Promise<Published> {
  const dir = join(await options.workspace.directory('archive'), 'layout');
  await publishToLayout(built, dir, tag, options);
  const chunks = readPieces(layoutTar(dir), { signal: options.signal });
  await writeFile(path, Readable.from(chunks, { objectMode: false }), options);
  const reference = `oci-archive:${path}${tag === undefined ? '' : `:${tag}`}`;
  return { reference, digest: built.manifest.digest };
}

/** Write the format of `docker save`, which has no room for the overlay. */
export async function publishDockerArchive(
  built: BuiltImage,
  path: string,
  tag: string | undefined,
  options: ArchiveOptions,
): Promise<Published> {
  const name = tag === undefined ? undefined : familiarName(parseImageName(tag));
  const archive = writeDockerArchive({
    configBytes: built.config.bytes,
    configDigest: built.config.digest,
    layers: await engineLayers(built, options),
    tags: name === undefined ? [] : [name],
  });
  await writeFile(path, archive, options);
  const reference = `docker-archive:${path}${name === undefined ? '' : `:${name}`}`;
  return { reference, digest: built.config.digest };
}

/** The members of a layout by name, so that the same image gives the same archive. */
async function* layoutTar(dir: string): AsyncGenerator<Piece> {
  const names = (await readdir(dir, { recursive: true })).sort();
  for (const name of names) {
    const file = join(dir, name);
    const stats = await stat(file);
    const size = stats.isDirectory() ? 0 : stats.size;
    const member = { path: `/${name}`, mode: 0o644, uid: 0, gid: 0, mtime: 0, size };
    if (stats.isDirectory()) {
      yield { bytes: encodeHeader({ ...member, kind: 'dir', mode: 0o755 }) };
    } else {
      yield* contentMember({ ...member, kind: 'file' }, { file, offset: 0, length: size });
    }
  }
  yield endOfTar;
}

/** Write `content` beside `path` and move it there when it is complete. */
async function writeFile(
  path: string,
  content: Readable,
  { workspace, signal }: ArchiveOptions,
): Promise<void> {
  const file = resolve(path);
  const random = randomBytes(4).toString('hex');
  const partial = join(dirname(file), `.${basename(file)}.${random}.partial`);
  const resource = workspace.register({ kind: 'path', path: partial });
  try {
    await pipeline([content, createWriteStream(partial)], signal ? { signal } : {});
    await rename(partial, file);
    workspace.forget(resource);
  } catch (error) {
    await workspace.release(resource);
    throw explainWriteError(error, file);
  }
}
