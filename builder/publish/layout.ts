import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, constants, rename } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Descriptor, Digest } from '../../analyzer/image/types.js';
import { makeDirectory } from '../../analyzer/workspace/make-directory.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import { mediaTypes, OciLayout } from '../oci-layout.js';
import { explainWriteError } from '../stream/blob.js';
import type { BuiltImage, Overlay } from '../types.js';
import { putOverlayArtifact } from './artifact.js';
import type { Published } from './published.js';

/**
 * Put an image, and its overlay as an artifact that refers to it, into the OCI layout at `path`,
 * which is made if it is not there. Other images in it stay; index.json is replaced last.
 */
export async function publishToLayout(
  built: BuiltImage,
  path: string,
  tag: string | undefined,
  options: {
    overlay?: Overlay | undefined;
    workspace: Workspace;
    signal?: AbortSignal | undefined;
  },
): Promise<Published> {
  const { overlay, workspace, signal } = options;
  const dir = resolve(path);
  const isNew = !existsSync(dir);
  await makeLayoutDirectory(dir);
  const resource = isNew ? workspace.register({ kind: 'path', path: dir }) : undefined;
  try {
    const source = OciLayout.open(built.layout);
    const layout = await OciLayout.openOrCreate(dir);
    const digests = [
      ...built.layers.map(({ descriptor }) => descriptor.digest),
      built.config.digest,
      built.manifest.digest,
    ];
    for (const digest of digests) {
      signal?.throwIfAborted();
      await copyBlob(source.blob(digest), layout, digest, workspace);
    }
    if (overlay) {
      await copyBlob(overlay.file, layout, overlay.digest, workspace);
      await layout.tag(await putOverlayArtifact(layout, built, overlay));
    }
    await layout.tag(manifestEntry(built), tag);
  } catch (error) {
    if (resource !== undefined) await workspace.release(resource);
    throw explainWriteError(error, dir);
  }
  if (resource !== undefined) workspace.forget(resource);
  const reference = tag === undefined ? `oci:${path}` : `oci:${path}:${tag}`;
  return { reference, digest: built.manifest.digest };
}

/** The image's entry in an index. */
export function manifestEntry({ manifest, config }: BuiltImage): Descriptor {
  const { os, architecture, variant } = config.value;
  return {
    mediaType: mediaTypes.manifest,
    digest: manifest.digest,
    size: manifest.bytes.length,
    platform: { os, architecture, ...(variant && { variant }) },
  };
}

async function makeLayoutDirectory(dir: string): Promise<void> {
  try {
    await makeDirectory(resolve(dir));
  } catch (error) {
    throw explainWriteError(error, dir);
  }
}

// A copy and no hard link: the layout is the user's, and its files are not to change with ours.
async function copyBlob(
  from: string,
  layout: OciLayout,
  digest: Digest,
  workspace: Workspace,
): Promise<void> {
  const to = layout.blob(digest);
  if (existsSync(to)) return;
  const partial = `${to}.${randomBytes(4).toString('hex')}.partial`;
  const resource = workspace.register({ kind: 'path', path: partial });
  try {
    await copyFile(from, partial, constants.COPYFILE_FICLONE);
    await rename(partial, to);
    workspace.forget(resource);
  } catch (error) {
    await workspace.release(resource);
    throw error;
  }
}
