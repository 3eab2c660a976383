import { DebloatError } from '../errors.js';
import { digestOf, hexOf } from '../image/digest.js';
import { parseConfig, parseIndex, parseManifest } from '../image/manifest.js';
import type { Descriptor, Platform } from '../image/types.js';
import type { Acquired } from './acquired.js';
import { readDocument, type FileSet } from './file-set.js';
import { choosePlatform } from './platform.js';

const refName = 'org.opencontainers.image.ref.name';
const maximumNesting = 4;

/**
 * Read an OCI image layout (image-layout.md): index.json, blobs/sha256/.
 * @param source how errors call it: what the user wrote.
 */
export async function readLayout(
  files: FileSet,
  source: string,
  options: { tag?: string | undefined; platform?: Platform | undefined },
): Promise<Acquired> {
  const bytes = await readDocument(
    files,
    'index.json',
    `${source} is not an OCI image layout: it has no index.json`,
  );
  const index = parseIndex(bytes, source);
  if (!index) throw new DebloatError(`the index.json of ${source} is not an image index`);
  const tagged = chooseTag(index.manifests, options.tag, source);
  const manifestBytes = await manifestOf(files, source, tagged, options.platform);
  const manifest = parseManifest(manifestBytes.bytes, source, manifestBytes.mediaType);
  const config = parseConfig(
    await blobBytes(files, manifest.value.config, 'config', source),
    source,
    manifest,
  );
  const blobs = manifest.value.layers.map(async (descriptor, position) => {
    const found = await files.find(blobName(descriptor));
    if (found) return { ...found, descriptor };
    throw new DebloatError(
      `${source} is incomplete: layer ${position + 1} (${descriptor.digest}) is missing`,
      { hint: 'copy the image into the layout again' },
    );
  });
  return { manifest, config, blobs: await Promise.all(blobs) };
}

// Several manifests under one tag, or without any, are platforms of one image.
function chooseTag(manifests: Descriptor[], tag: string | undefined, source: string): Descriptor[] {
  const nameOf = ({ annotations }: Descriptor) => annotations?.[refName];
  const tags = [...new Set(manifests.map(nameOf).filter((name) => name !== undefined))];
  if (tag === undefined) {
    if (manifests.length === 0) throw new DebloatError(`${source} has no images in it`);
    if (tags.length < 2) return manifests;
    throw new DebloatError(`${source} has several images: which one?`, {
      hint: `add one of its tags: ${tags.map((name) => `${source}:${name}`).join(', ')}`,
    });
  }
  const exact = manifests.filter((manifest) => nameOf(manifest) === tag);
  if (exact.length > 0) return exact;
  const byEnd = manifests.filter((manifest) => nameOf(manifest)?.endsWith(`:${tag}`));
  if (byEnd.length > 0) return byEnd;
  throw new DebloatError(`${source}: there is no image tagged ${JSON.stringify(tag)} in it`, {
    hint: tags.length > 0 ? `it has: ${tags.join(', ')}` : 'its images have no tags: leave it out',
  });
}

async function manifestOf(
  files: FileSet,
  source: string,
  candidates: Descriptor[],
  platform: Platform | undefined,
): Promise<{ bytes: Buffer; mediaType: string }> {
  let list = candidates;
  for (let depth = 0; depth < maximumNesting; depth++) {
    const only = list.length === 1 ? list[0] : undefined;
    const chosen = only && depth === 0 ? only : choosePlatform(list, platform, source);
    const bytes = await blobBytes(files, chosen, 'manifest', source);
    const index = parseIndex(bytes, source);
    if (!index) return { bytes, mediaType: chosen.mediaType };
    list = index.manifests;
  }
  throw new DebloatError(`${source}: its indexes are nested too deeply`);
}

async function blobBytes(
  files: FileSet,
  descriptor: Descriptor,
  what: string,
  source: string,
): Promise<Buffer> {
  const missing = `${source} is incomplete: its ${what} (${descriptor.digest}) is missing`;
  const bytes = await readDocument(files, blobName(descriptor), missing);
  const actual = digestOf(bytes);
  if (actual === descriptor.digest) return bytes;
  throw new DebloatError(
    `the ${what} of ${source} is damaged: its digest is ${actual} instead of ${descriptor.digest}`,
    { hint: 'copy the image into the layout again' },
  );
}

function blobName({ digest }: Descriptor): string {
  return `blobs/sha256/${hexOf(digest)}`;
}
