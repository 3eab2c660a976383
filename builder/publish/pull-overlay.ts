import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { DebloatError } from '../../analyzer/errors.js';
import { digestOf } from '../../analyzer/image/digest.js';
import type { Descriptor, Digest } from '../../analyzer/image/types.js';
import type { Reference } from '../../analyzer/transport/reference.js';
import { OciLayout } from '../oci-layout.js';
import { provenanceKeys } from '../provenance.js';
import { measureFile } from '../stream/blob.js';
import { overlayFormats, type Overlay } from '../types.js';
import { overlayArtifactType, overlayMediaType } from './artifact.js';
import { listReferrers } from './referrers.js';
import { openRepository, type RepositoryOptions } from './repository.js';

/** What is needed to know of a debloated image to find its overlay: every Image is one. */
export interface OverlayOwner {
  /** For people. */
  readonly reference: string;
  readonly manifest: { readonly digest: Digest };
  readonly config: {
    readonly value: {
      readonly config?: { readonly Labels?: Readonly<Record<string, string>> | null };
    };
  };
}

/**
 * Fetch the overlay of the debloated `image` from where `reference` says the image is: a registry
 * or an OCI layout. Its digest is checked against what the image's label says.
 * Throws a DebloatError if there is none, or that place cannot hold one.
 */
export async function pullOverlay(
  image: OverlayOwner,
  reference: Reference,
  options: RepositoryOptions,
): Promise<Overlay> {
  const digest = image.config.value.config?.Labels?.[provenanceKeys.overlayDigest];
  if (digest === undefined) {
    throw new DebloatError(`${image.reference} is no debloated image: it names no overlay`, {
      hint: 'images made by `debloat build` have labels dev.debloat.*; was it built from one?',
    });
  }
  const found = await find(image, reference, digest as Digest, options);
  if (!found) {
    throw new DebloatError(`the overlay ${digest} of ${image.reference} is not beside it`, {
      hint: 'give its file: `debloat build` wrote it into the output directory',
    });
  }
  const actual = await measureFile(found.file, options.signal);
  if (actual.digest !== digest) {
    throw new DebloatError(
      `the overlay of ${image.reference} is damaged: its digest is ${actual.digest} instead of ${digest}`,
      { hint: 'fetch it again, or give the file that `debloat build` wrote' },
    );
  }
  return { ...found, digest, size: actual.size, files: 0 };
}

type Found = Pick<Overlay, 'file' | 'format'>;

async function find(
  image: OverlayOwner,
  reference: Reference,
  digest: Digest,
  options: RepositoryOptions,
): Promise<Found | undefined> {
  switch (reference.transport) {
    case 'registry':
    case 'any':
      return fromRegistry(image, reference.name, digest, options);
    case 'oci': {
      const layout = OciLayout.open(reference.path);
      return fromLayout(layout, (await layout.readIndex()).manifests, digest);
    }
    case 'engine':
    case 'engine-id':
    case 'oci-archive':
    case 'docker-archive':
    case 'dir':
      return undefined;
  }
}

async function fromRegistry(
  image: OverlayOwner,
  name: (Reference & { transport: 'registry' | 'any' })['name'],
  digest: Digest,
  options: RepositoryOptions,
): Promise<Found | undefined> {
  const repository = await openRepository(name, options);
  for (const referrer of await listReferrers(repository, image.manifest.digest)) {
    if (referrer.artifactType !== overlayArtifactType) continue;
    const bytes = await repository.manifest(`@${referrer.digest}`);
    if (!overlayLayer(bytes, digest)) continue;
    const dir = join(await options.workspace.directory('pulled'), 'layout');
    await repository.pull(`@${referrer.digest}`, dir);
    return fromLayout(OciLayout.open(dir), [referrer], digest);
  }
  return undefined;
}

async function fromLayout(
  layout: OciLayout,
  manifests: readonly Descriptor[],
  digest: Digest,
): Promise<Found | undefined> {
  for (const entry of manifests) {
    if (entry.artifactType !== overlayArtifactType) continue;
    const bytes = await readFile(layout.blob(entry.digest));
    if (digestOf(bytes) !== entry.digest) continue;
    const layer = overlayLayer(bytes, digest);
    const format = overlayFormats.find((name) => overlayMediaType(name) === layer?.mediaType);
    if (layer && format) return { file: layout.blob(digest), format };
  }
  return undefined;
}

const artifactManifest = z.looseObject({
  layers: z.array(z.object({ mediaType: z.string(), digest: z.string(), size: z.number() })),
});

function overlayLayer(manifest: Buffer, digest: Digest): { mediaType: string } | undefined {
  const parsed = artifactManifest.safeParse(JSON.parse(manifest.toString('utf8')));
  return parsed.data?.layers.find((layer) => layer.digest === digest);
}
