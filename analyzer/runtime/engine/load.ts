import { randomBytes } from 'node:crypto';
import type { EngineConnection } from '../engine-connection.js';
import { writeDockerArchive } from '../../image/archive.js';
import type { Image } from '../../image/types.js';
import { DebloatError } from '../../errors.js';
import type { Workspace } from '../../workspace/workspace.js';
import { engineFailure, engineRequest, statusOf } from './failure.js';
import { readAll } from './stream.js';

export interface EngineImage {
  /** What to give the engine as a container's image. */
  name: string;
  unload(): Promise<void>;
}

/** Have `image` in the engine: nothing to do if it is there, else loaded under a name of our own. */
export async function loadIntoEngine(
  connection: EngineConnection,
  image: Image,
  workspace: Workspace,
  signal?: AbortSignal,
): Promise<EngineImage> {
  // The image ID is the config's digest, except with containerd's image store, which we load into.
  if (await hasImage(connection, image.config.digest)) {
    return { name: image.config.digest, unload: () => Promise.resolve() };
  }
  const name = `localhost/debloat-run:${randomBytes(8).toString('hex')}`;
  const handle = workspace.register({ kind: 'engine-image', engine: connection.options, name });
  const unload = () => engineRequest('remove the loaded image', workspace.release(handle));
  try {
    await load(connection, image, name, signal);
    return { name, unload };
  } catch (error) {
    await unload().catch(() => undefined); // the first failure is the one to tell
    signal?.throwIfAborted();
    throw engineFailure('load the image into the engine', error);
  }
}

async function hasImage({ docker }: EngineConnection, id: string): Promise<boolean> {
  try {
    await docker.getImage(id).inspect();
    return true;
  } catch (error) {
    if (statusOf(error) === 404) return false;
    throw engineFailure('look for the image in the engine', error);
  }
}

async function load(
  { docker }: EngineConnection,
  image: Image,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const archive = writeDockerArchive({
    configBytes: image.config.bytes,
    configDigest: image.config.digest,
    layers: image.layers,
    tags: [name],
  });
  // An archive that breaks off is refused as a whole. One that was sent is loaded, whoever listens:
  // then the end has to be awaited, or the image would come after its removal.
  let sent = false;
  archive.once('end', () => (sent = true));
  const abort = () => {
    if (!sent) archive.destroy(new Error('interrupted'));
  };
  signal?.addEventListener('abort', abort, { once: true });
  let progress: Buffer;
  try {
    signal?.throwIfAborted();
    progress = await readAll(await docker.loadImage(archive, { quiet: true }));
  } finally {
    signal?.removeEventListener('abort', abort);
  }
  signal?.throwIfAborted();
  // The answer's status is sent before the work is done: a failure comes as a line of it.
  for (const line of progress.toString().split('\n').filter(Boolean)) {
    const { error } = JSON.parse(line) as { error?: string };
    if (error !== undefined) {
      const full = /no space left on device/i.test(error);
      throw new DebloatError(`the engine cannot load the image: ${error}`, {
        ...(full && { hint: "make room on the disk of the engine's data directory" }),
      });
    }
  }
}
