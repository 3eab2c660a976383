import { DebloatError, ExitCode } from '../../analyzer/errors.js';
import {
  engineConnection,
  NoEngineError,
  type EngineConnection,
} from '../../analyzer/runtime/engine-connection.js';
import type { Reference } from '../../analyzer/transport/reference.js';
import type { RegistryAccess } from '../../analyzer/transport/registry.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import type { BuiltImage, Overlay } from '../types.js';
import { publishDockerArchive, publishOciArchive } from './archive.js';
import { publishToEngine } from './engine.js';
import { publishToLayout } from './layout.js';
import type { Published } from './published.js';
import { publishToRegistry } from './registry.js';

export interface PublishOptions extends RegistryAccess {
  /** Goes with the image where the target can hold it: registry, OCI layout, OCI archive. */
  overlay?: Overlay | undefined;
  workspace: Workspace;
  signal?: AbortSignal | undefined;
  /** Default: the engine that `docker` itself would use. */
  engine?: EngineConnection | undefined;
}

/**
 * Publish a finished image. Whatever the target, the name appears last, when everything that it
 * stands for is there: a failure leaves an older image of that name as it was.
 * Throws a DebloatError if the target cannot be written, refuses us, or is none.
 */
export async function publishImage(
  built: BuiltImage,
  target: Reference,
  options: PublishOptions,
): Promise<Published> {
  switch (target.transport) {
    case 'engine':
      return publishToEngine(
        built,
        target.name,
        options.engine ?? (await engineConnection()),
        options,
      );
    case 'registry':
      return publishToRegistry(built, target.name, options);
    case 'any': {
      const engine = options.engine ?? (await engineIfAny());
      return engine
        ? publishToEngine(built, target.name, engine, options)
        : publishToRegistry(built, target.name, options);
    }
    case 'oci':
      return publishToLayout(built, target.path, target.tag, options);
    case 'oci-archive':
      return publishOciArchive(built, target.path, target.tag, options);
    case 'docker-archive':
      return publishDockerArchive(built, target.path, target.tag, options);
    case 'dir':
    case 'engine-id':
      throw notPublishable(target);
  }
}

/** Throws a DebloatError if an image cannot be published to the likes of `target`; returns it. */
export function requirePublishable(target: Reference): Reference {
  if (target.transport === 'dir' || target.transport === 'engine-id') throw notPublishable(target);
  return target;
}

function notPublishable({ text }: Reference): DebloatError {
  return new DebloatError(`an image cannot be published to ${text}`, {
    hint: 'publish to a name (docker://NAME, registry://NAME), oci:DIR:TAG, oci-archive:FILE:TAG or docker-archive:FILE:NAME:TAG',
    exitCode: ExitCode.usage,
  });
}

async function engineIfAny(): Promise<EngineConnection | undefined> {
  try {
    return await engineConnection();
  } catch (error) {
    if (error instanceof NoEngineError) return undefined;
    throw error;
  }
}
