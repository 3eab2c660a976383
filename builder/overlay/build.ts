import { randomBytes } from 'node:crypto';
import { access, constants, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { hexOf } from '../../analyzer/image/digest.js';
import type { Digest, Image, Node } from '../../analyzer/image/types.js';
import type { KeepSet, Rewrite } from '../../analyzer/keep/types.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import { select } from '../layers/selection.js';
import { explainWriteError, measureFile } from '../stream/blob.js';
import { readPieces } from '../stream/pieces.js';
import type { Overlay, OverlayFormat } from '../types.js';
import { capacityBlock, capacityFor, wholeBlocks } from './capacity.js';
import type { OverlaySource } from './format.js';
import { overlayTar, planOverlay, type OverlayPlan } from './plan.js';
import { overlayWriters } from './writers.js';

export interface BuildOverlayOptions {
  image: Image;
  keepSet: KeepSet;
  rewrites?: readonly Rewrite[];
  format: OverlayFormat;
  /** Where the overlay goes; it appears there when it is complete. */
  file: string;
  /** Digests of the debloated image's layer tars, by which `restore` knows that the two belong together. */
  diffIds: readonly Digest[] | Promise<readonly Digest[]>;
  workspace: Workspace;
  signal?: AbortSignal | undefined;
  /** Bytes handed to the file system's tool so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * Write the overlay of `image`: all that `keepSet` does not keep, originals of rewritten files, and
 * what `restore` needs. The same input gives the same bytes. On failure nothing is left at `file`.
 */
export async function buildOverlay(options: BuildOverlayOptions): Promise<Overlay> {
  const { image, format, workspace, signal } = options;
  const file = resolve(options.file);
  Promise.resolve(options.diffIds).catch(() => undefined); // it is awaited late
  await access(dirname(file), constants.W_OK).catch((error: unknown) => {
    throw explainWriteError(error, file);
  });
  const selection = select(image, options.keepSet, options.rewrites ?? []);
  const plan = planOverlay(image, selection);
  const scratch = await workspace.directory('recipes');
  const partial = join(
    dirname(file),
    `.${basename(file)}.${randomBytes(4).toString('hex')}.partial`,
  );
  const resource = workspace.register({ kind: 'path', path: partial });
  try {
    const writer = overlayWriters[format];
    const pieces = overlayTar(image, selection, plan, {
      diffIds: options.diffIds,
      scratch,
      readsSparse: (entry) => writer.readsSparse(entry),
    });
    await writer.write({
      tar: counted(readPieces(pieces, { signal }), options.onProgress),
      attributed: attributedOf(image, plan.nodes),
      root: image.tree.root.inode,
      uuid: uuidFrom(image.config.digest),
      file: partial,
      makes: `the overlay ${file}`,
      workspace,
      signal,
      capacity: capacityOf(image, plan),
    });
    const measured = await measureFile(partial, signal);
    await rename(partial, file);
    workspace.forget(resource);
    return { format, file, ...measured, files: plan.files };
  } catch (error) {
    await workspace.release(resource);
    throw explainWriteError(error, file);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function* counted(
  chunks: AsyncIterable<Buffer>,
  onProgress: ((bytes: number) => void) | undefined,
): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of chunks) {
    onProgress?.((bytes += chunk.length));
    yield chunk;
  }
}

/** Those of `nodes` and of the root directory that have extended attributes. */
export function attributedOf(image: Image, nodes: Iterable<Node>): OverlaySource['attributed'] {
  return [image.tree.root, ...nodes].flatMap(({ path, inode: { xattrs } }) =>
    xattrs ? [{ path, xattrs }] : [],
  );
}

/** A UUID (RFC 9562, version 8) made of the digest alone. */
export function uuidFrom(digest: Digest): string {
  const hex = hexOf(digest);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

// Besides the nodes the hidden files, and the recipes (which compress well).
function capacityOf(image: Image, plan: OverlayPlan): { bytes: number; inodes: number } {
  const { hidden } = plan.payloads;
  const nodes = capacityFor(plan.nodes);
  let bytes = nodes.bytes + 1024 * 1024;
  for (const entry of hidden) bytes += wholeBlocks(entry.storedSize) + capacityBlock;
  for (const layer of image.layers) bytes += capacityBlock + layer.entries.length * 512;
  const inodes = nodes.inodes + hidden.length * 1.01 + image.layers.length + 64;
  return { bytes, inodes: Math.ceil(inodes) };
}
