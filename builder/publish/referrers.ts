import { DebloatError } from '../../analyzer/errors.js';
import { parseIndex } from '../../analyzer/image/manifest.js';
import type { Descriptor, Digest } from '../../analyzer/image/types.js';
import { mediaTypes } from '../oci-layout.js';
import type { Repository } from './repository.js';

/** The tag under which referrers of `subject` are listed (OCI distribution spec, "Referrers Tag Schema"). */
export function referrersTag(subject: Digest): string {
  return subject.replace(':', '-');
}

/** Manifests that refer to `subject`: the registry's own list, or that of the referrers tag. */
export async function listReferrers(
  repository: Repository,
  subject: Digest,
): Promise<Descriptor[]> {
  const own = await repository.api.referrers(subject);
  if (own) return parseIndex(own, `the referrers of ${subject}`)?.manifests ?? [];
  return listTagged(repository, subject);
}

/**
 * See that `referrer`, which is in the registry already, is listed among `subject`'s referrers:
 * a registry with a referrers API has done so itself; elsewhere the referrers tag is extended.
 */
export async function addReferrer(
  repository: Repository,
  subject: Digest,
  referrer: Descriptor,
): Promise<void> {
  if (await repository.api.referrers(subject)) return;
  const others = await listTagged(repository, subject);
  if (others.some(({ digest }) => digest === referrer.digest)) return;
  const { mediaType, digest, size, artifactType } = referrer;
  const manifests = [...others, { mediaType, digest, size, artifactType }];
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
  const bytes = Buffer.from(JSON.stringify(index));
  await repository.api.putManifest(referrersTag(subject), mediaTypes.index, bytes);
}

async function listTagged(repository: Repository, subject: Digest): Promise<Descriptor[]> {
  try {
    const bytes = await repository.manifest(`:${referrersTag(subject)}`);
    return parseIndex(bytes, referrersTag(subject))?.manifests ?? [];
  } catch (error) {
    if (error instanceof DebloatError && error.message.startsWith('there is no image')) return [];
    throw error;
  }
}
