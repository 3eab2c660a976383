import { DebloatError } from '../errors.js';
import { assembleImage } from '../image/image.js';
import type { Image, Platform } from '../image/types.js';
import {
  engineConnection,
  NoEngineError,
  type EngineConnection,
} from '../runtime/engine-connection.js';
import type { Workspace } from '../workspace/workspace.js';
import type { Acquired, AcquireContext, AcquireProgress } from './acquired.js';
import { ArchiveFiles } from './archive-files.js';
import { readDirectory } from './directory.js';
import { readDockerArchive } from './docker-archive.js';
import { fetchFromEngine } from './engine.js';
import { DirectoryFiles } from './file-set.js';
import { unpackLayers } from './layers.js';
import { readLayout } from './layout.js';
import { requirePlatform } from './platform.js';
import { familiarName, parseReference, type ImageName, type Reference } from './reference.js';
import { fetchFromRegistry, type RegistryAccess } from './registry.js';

export interface OpenOptions extends RegistryAccess {
  workspace: Workspace;
  /** Of a multi-arch image; default: this machine's. An image for another platform is refused. */
  platform?: Platform | undefined;
  /** Default: the engine that `docker` itself would use, looked for when needed. */
  engine?: EngineConnection | undefined;
  progress?: ((progress: AcquireProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Bring the image that `reference` names to this machine: its documents as they are at the source,
 * its layers as verified, indexed tars in the workspace.
 * @throws DebloatError for a wrong reference (usage), a missing or refused image, a damaged one, one
 * for another platform, a full disk.
 */
export async function openImage(
  reference: string | Reference,
  options: OpenOptions,
): Promise<Image> {
  const parsed = typeof reference === 'string' ? parseReference(reference) : reference;
  const context: AcquireContext = {
    dir: await options.workspace.directory('image'),
    progress: options.progress,
    signal: options.signal,
  };
  const acquired = await acquire(parsed, options, context);
  const { os, architecture, variant } = acquired.config.value;
  const platform = { os, architecture, ...(variant && { variant }) };
  requirePlatform(platform, options.platform, parsed.text);
  const layers = await unpackLayers(acquired, context);
  const { manifest, config } = acquired;
  return assembleImage({ reference: parsed.text, platform, manifest, config, layers });
}

async function acquire(
  reference: Reference,
  options: OpenOptions,
  context: AcquireContext,
): Promise<Acquired> {
  const { text } = reference;
  const { platform } = options;
  switch (reference.transport) {
    case 'engine':
      return fromEngine(familiarName(reference.name), options, context);
    case 'engine-id':
      return fromEngine(reference.id, options, context);
    case 'registry':
      return fetchFromRegistry(reference.name, options, platform, context);
    case 'any':
      return fromAnywhere(reference.name, options, context);
    case 'oci':
      return readLayout(await DirectoryFiles.of(reference.path), text, {
        tag: reference.tag,
        platform,
      });
    case 'oci-archive':
      return readLayout(await ArchiveFiles.fromFile(reference.path, text, context), text, {
        tag: reference.tag,
        platform,
      });
    case 'docker-archive':
      return readDockerArchive(
        await ArchiveFiles.fromFile(reference.path, text, context),
        text,
        reference.tag,
      );
    case 'dir':
      return readDirectory(await DirectoryFiles.of(reference.path), text);
  }
}

async function fromEngine(
  name: string,
  options: OpenOptions,
  context: AcquireContext,
): Promise<Acquired> {
  const engine = options.engine ?? (await engineConnection());
  const acquired = await fetchFromEngine(engine, name, context);
  if (acquired) return acquired;
  throw new DebloatError(`the container engine at ${engine.address} has no image ${name}`, {
    hint: `pull it first (${engine.kind} pull ${name}), or read it from its registry: registry://${name}`,
  });
}

/** A bare name: the engine if there is one and it has the image, then the registry. */
async function fromAnywhere(
  name: ImageName,
  options: OpenOptions,
  context: AcquireContext,
): Promise<Acquired> {
  let refusal: string;
  try {
    const engine = options.engine ?? (await engineConnection());
    const acquired = await fetchFromEngine(engine, familiarName(name), context);
    if (acquired) return acquired;
    refusal = `the engine at ${engine.address} does not have it`;
  } catch (error) {
    if (!(error instanceof NoEngineError)) throw error;
    refusal = 'no container engine answers';
  }
  try {
    return await fetchFromRegistry(name, options, options.platform, context);
  } catch (error) {
    if (!(error instanceof DebloatError)) throw error;
    throw new DebloatError(`${error.message} (and ${refusal})`, {
      ...(error.hint !== undefined && { hint: error.hint }),
      exitCode: error.exitCode,
      cause: error,
    });
  }
}
