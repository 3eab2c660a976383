import { DebloatError } from '../errors.js';
import { hexOf } from '../image/digest.js';
import { parseConfig, parseManifest } from '../image/manifest.js';
import type { Acquired } from './acquired.js';
import { readDocument, type FileSet } from './file-set.js';

/**
 * Read a directory as skopeo's `dir:` transport writes it: manifest.json and the blobs, named by the
 * hexadecimal part of their digests.
 * @param source how errors call it: what the user wrote.
 */
export async function readDirectory(files: FileSet, source: string): Promise<Acquired> {
  const bytes = await readDocument(
    files,
    'manifest.json',
    `${source} is not an image directory: it has no manifest.json`,
  );
  const manifest = parseManifest(bytes, source);
  const configName = hexOf(manifest.value.config.digest);
  const missing = `${source} is incomplete: its config (sha256:${configName}) is missing`;
  const config = parseConfig(await readDocument(files, configName, missing), source, manifest);
  const blobs = manifest.value.layers.map(async (descriptor, position) => {
    const found = await files.find(hexOf(descriptor.digest));
    if (found) return { ...found, descriptor };
    throw new DebloatError(
      `${source} is incomplete: layer ${position + 1} (${descriptor.digest}) is missing`,
    );
  });
  return { manifest, config, blobs: await Promise.all(blobs) };
}
