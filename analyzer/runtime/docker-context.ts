import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { DebloatError, messageOf } from '../errors.js';

/** Where a Docker context points: its engine's address and, where it has them, its TLS files. */
export interface DockerContext {
  name: string;
  /** As in DOCKER_HOST. */
  host: string;
  /** Directory with ca.pem, cert.pem and key.pem. */
  tlsDir: string;
}

const configSchema = z.object({ currentContext: z.string().optional() });
const metaSchema = z.object({
  Endpoints: z.object({ docker: z.object({ Host: z.string().optional() }).optional() }),
});

/** The directory of Docker's client configuration: DOCKER_CONFIG, else ~/.docker. */
export function dockerConfigDir(env: NodeJS.ProcessEnv): string {
  return env['DOCKER_CONFIG'] ?? join(env['HOME'] ?? homedir(), '.docker');
}

/**
 * The context that DOCKER_CONTEXT or the client configuration's currentContext names; undefined for
 * the built-in "default". Throws a DebloatError if the named context does not exist.
 */
export async function currentDockerContext(
  env: NodeJS.ProcessEnv,
): Promise<DockerContext | undefined> {
  const dir = dockerConfigDir(env);
  const name = env['DOCKER_CONTEXT'] ?? (await configuredContext(dir));
  if (!name || name === 'default') return undefined;
  // The client's context store names each directory by the digest of the context's name.
  const id = createHash('sha256').update(name).digest('hex');
  const metaFile = join(dir, 'contexts', 'meta', id, 'meta.json');
  try {
    const meta = metaSchema.parse(JSON.parse(await readFile(metaFile, 'utf8')));
    const host = meta.Endpoints.docker?.Host;
    if (!host) throw new Error('it has no docker endpoint');
    return { name, host, tlsDir: join(dir, 'contexts', 'tls', id, 'docker') };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new DebloatError(
      missing
        ? `there is no Docker context named "${name}"`
        : `the Docker context "${name}" cannot be used: ${messageOf(error)}`,
      { hint: 'see `docker context ls`, or unset DOCKER_CONTEXT', cause: error },
    );
  }
}

async function configuredContext(dir: string): Promise<string | undefined> {
  const file = join(dir, 'config.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch {
    return undefined; // no configuration is the usual case
  }
  try {
    return configSchema.parse(JSON.parse(text)).currentContext;
  } catch (error) {
    throw new DebloatError(`${file} is not a valid Docker configuration: ${messageOf(error)}`, {
      hint: 'repair the file, or point DOCKER_CONFIG to another directory',
      cause: error,
    });
  }
}
