import { DebloatError } from '../../analyzer/errors.js';
import { fullName, type ImageName } from '../../analyzer/transport/reference.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import { OciLayout } from '../oci-layout.js';
import type { BuiltImage, Overlay } from '../types.js';
import { putOverlayArtifact } from './artifact.js';
import type { Published } from './published.js';
import { addReferrer } from './referrers.js';
import { openRepository, type Repository, type RepositoryOptions } from './repository.js';

/**
 * Push an image by digest, then its overlay as a referrer, and only then give it its tag: until
 * then there are but nameless blobs and manifests, which registries collect.
 */
export async function publishToRegistry(
  built: BuiltImage,
  name: ImageName,
  options: RepositoryOptions & { overlay?: Overlay | undefined },
): Promise<Published> {
  if (name.digest !== undefined && name.digest !== built.manifest.digest) {
    throw new DebloatError(`${fullName(name)} names the digest of another image`, {
      hint: 'publish to a name with a tag',
    });
  }
  const repository = await openRepository(name, options);
  const { digest } = built.manifest;
  await repository.push(built.layout, `@${digest}`);
  if (options.overlay) await pushOverlay(repository, built, options.overlay, options);
  if (name.tag !== undefined) await repository.push(built.layout, `:${name.tag}`);
  const reference = `registry://${fullName({ ...name, ...(name.tag === undefined && { digest }) })}`;
  return { reference, digest };
}

async function pushOverlay(
  repository: Repository,
  built: BuiltImage,
  overlay: Overlay,
  { workspace }: { workspace: Workspace },
): Promise<void> {
  const layout = await OciLayout.openOrCreate(await workspace.directory('artifact'));
  const artifact = await putOverlayArtifact(layout, built, overlay);
  await layout.tag(artifact);
  await repository.push(layout.dir, `@${artifact.digest}`);
  await addReferrer(repository, built.manifest.digest, artifact);
}
