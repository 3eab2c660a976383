import type Docker from 'dockerode';
import { DebloatError, messageOf } from '../errors.js';
import type { EngineConnection } from '../runtime/engine-connection.js';
import type { AcquireContext, Acquired } from './acquired.js';
import { ArchiveFiles } from './archive-files.js';
import { readDockerArchive } from './docker-archive.js';

/**
 * Copy an image out of a container engine (`docker save`): its layers land uncompressed in
 * `context.dir` as they stream in, so nothing is written twice.
 * @param name as the engine knows it: a name or an ID.
 * @returns undefined if the engine does not have the image.
 */
export async function fetchFromEngine(
  engine: EngineConnection,
  name: string,
  context: AcquireContext,
): Promise<Acquired | undefined> {
  const image = engine.docker.getImage(name);
  const found = await inspect(image, name);
  if (!found) return undefined;
  const source = `the archive of ${name} that ${engine.kind} sends`;
  const stream = await image.get().catch((error: unknown) => {
    throw new DebloatError(`${engine.kind} cannot save ${name}: ${messageOf(error).trim()}`, {
      cause: error,
    });
  });
  const files = await ArchiveFiles.fromStream(stream, source, context, found.Size);
  return readDockerArchive(files, name);
}

async function inspect(
  image: Docker.Image,
  name: string,
): Promise<Docker.ImageInspectInfo | undefined> {
  try {
    return await image.inspect();
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw new DebloatError(`the engine cannot look up ${name}: ${messageOf(error).trim()}`, {
      cause: error,
    });
  }
}
