import type { EngineConnection } from '../../analyzer/runtime/engine-connection.js';
import { NoEngineError } from '../../analyzer/runtime/engine-connection.js';
import { engineRequest } from '../../analyzer/runtime/engine/failure.js';
import { provenanceKeys } from '../../builder/provenance.js';
import type { EngineName } from '../targets.js';
import { engineOf } from './running.js';

/** A running container, and how to attach to it. */
export interface ListedContainer {
  /** "docker://web" */
  target: string;
  image: string;
  /** The digest of its overlay, if it runs a debloated image. */
  overlay: string | undefined;
}

/** The running containers of Docker and podman; without an engine, none. */
export async function listContainers(): Promise<ListedContainer[]> {
  const lists = await Promise.all((['docker', 'podman'] as const).map(listOf));
  return lists.flat();
}

async function listOf(name: EngineName): Promise<ListedContainer[]> {
  let engine: EngineConnection;
  try {
    engine = await engineOf(name);
  } catch (error) {
    if (error instanceof NoEngineError) return [];
    throw error;
  }
  // DOCKER_HOST may name podman, which then is listed once.
  if (engine.kind !== name) return [];
  const found = await engineRequest('list the containers', engine.docker.listContainers());
  return found.map(({ Id, Names, Image, Labels }) => ({
    target: `${name}://${Names[0]?.replace(/^\//, '') ?? Id.slice(0, 12)}`,
    image: Image,
    overlay: Labels[provenanceKeys.overlayDigest],
  }));
}
