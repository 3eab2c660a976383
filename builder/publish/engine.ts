import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { writeDockerArchive } from '../../analyzer/image/archive.js';
import type { EngineConnection } from '../../analyzer/runtime/engine-connection.js';
import { familiarName, type ImageName } from '../../analyzer/transport/reference.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import type { BuiltImage } from '../types.js';
import { engineLayers } from './engine-layers.js';
import type { Published } from './published.js';

/**
 * Load an image into a container engine (`docker load`). The engine names it after all of its
 * layers are in and their digests checked.
 */
export async function publishToEngine(
  built: BuiltImage,
  name: ImageName,
  { docker, kind }: EngineConnection,
  options: { workspace: Workspace; signal?: AbortSignal | undefined },
): Promise<Published> {
  const reference = familiarName(name);
  if (name.digest !== undefined) {
    throw new DebloatError(`${reference} names a digest, which only the engine can give`, {
      hint: 'publish to a name with a tag',
    });
  }
  const archive = writeDockerArchive({
    configBytes: built.config.bytes,
    configDigest: built.config.digest,
    layers: await engineLayers(built, options),
    tags: [reference],
  });
  const stop = (): void => void archive.destroy();
  options.signal?.addEventListener('abort', stop);
  try {
    const answer = await docker.loadImage(archive, { quiet: true });
    const failure = failureIn(await textOf(answer));
    if (failure !== undefined) throw new Error(failure);
    const { Id } = await docker.getImage(reference).inspect();
    return { reference: `docker://${reference}`, digest: Id };
  } catch (error) {
    options.signal?.throwIfAborted();
    const full = /no space left on device/i.test(messageOf(error));
    throw new DebloatError(`${kind} cannot load ${reference}: ${messageOf(error).trim()}`, {
      ...(full && { hint: "make room on the disk of the engine's data directory" }),
      cause: error,
    });
  } finally {
    options.signal?.removeEventListener('abort', stop);
  }
}

/** Failures come as a line of the answer: its status was sent before the work began. */
function failureIn(answer: string): string | undefined {
  for (const line of answer.split('\n').filter(Boolean)) {
    const { error } = JSON.parse(line) as { error?: string };
    if (error !== undefined) return error;
  }
  return undefined;
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}
