import type { ImageName } from '../../analyzer/transport/reference.js';
import {
  policyFlags,
  skopeoAccess,
  type RegistryAccess,
} from '../../analyzer/transport/registry.js';
import { skopeo } from '../../analyzer/transport/skopeo.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import { RegistryApi } from './registry-api.js';

/** A connection to one repository of a registry, through skopeo. */
export interface Repository {
  /** What skopeo has no command for. */
  api: RegistryApi;
  /** Copy the one image of an OCI layout (a path) to `reference`, which is what follows its name: ":tag" or "@digest". */
  push(layout: string, reference: string): Promise<void>;
  /** The raw manifest or index at `reference`. */
  manifest(reference: string): Promise<Buffer>;
  /** Copy the manifest at `reference` and its blobs into the OCI layout `layout` (a path). */
  pull(reference: string, layout: string): Promise<void>;
}

export interface RepositoryOptions extends RegistryAccess {
  workspace: Workspace;
  signal?: AbortSignal | undefined;
}

/** Address the repository of `name` with skopeo's own credentials and certificates. */
export async function openRepository(
  name: ImageName,
  options: RepositoryOptions,
): Promise<Repository> {
  const { workspace, signal } = options;
  const dir = await workspace.directory('registry');
  const { auth, isSecure } = await skopeoAccess(name.registry, options, dir);
  const common = [...policyFlags()];
  const url = (reference: string): string =>
    `docker://${name.registry}/${name.repository}${reference}`;
  const run = (args: string[], reference: string): Promise<Buffer> =>
    skopeo([...common, ...args], { image: url(reference).slice('docker://'.length), signal });
  const tls = `tls-verify=${isSecure}`;
  return {
    api: await RegistryApi.open(name, { ...options, isSecure }),
    async push(layout, reference) {
      const to = [`--dest-${tls}`, ...auth, `oci:${layout}`, url(reference)];
      await run(['copy', '--quiet', '--preserve-digests', ...to], reference);
    },
    manifest: (reference) =>
      run(['inspect', '--raw', `--${tls}`, ...auth, url(reference)], reference),
    async pull(reference, layout) {
      const from = [`--src-${tls}`, ...auth, url(reference), `oci:${layout}`];
      await run(['copy', '--quiet', '--preserve-digests', ...from], reference);
    },
  };
}
