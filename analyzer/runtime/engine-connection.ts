import type Docker from 'dockerode';
import { z } from 'zod';
import { DebloatError } from '../errors.js';
import { dockerEndpoints, podmanEndpoints, type EngineEndpoint } from './engine-endpoint.js';
import { explainRefusal, type Refusal } from './engine-refusal.js';

/** An engine that has answered, with the API version agreed on. */
export interface EngineConnection {
  kind: 'docker' | 'podman';
  docker: Docker;
  /** What `docker` was made from; plain data for the workspace's journal. */
  options: Docker.DockerOptions;
  /** Of the engine. */
  version: string;
  /** Who named the address, and the address as in DOCKER_HOST. */
  origin: string;
  address: string;
}

/** No engine answered; `refusals` says for each address why. */
export class NoEngineError extends DebloatError {
  constructor(readonly refusals: Refusal[]) {
    super(`no container engine answers: ${refusals.map((refusal) => refusal.reason).join('; ')}`, {
      hint: refusals[0]?.hint ?? 'start Docker or podman, or set DOCKER_HOST',
    });
  }
}

/**
 * The API version that we speak if the engine does: old enough for every engine still in use
 * (Docker since 20.10, podman since 3), its endpoints unchanged since.
 */
const spokenVersion = '1.41';
const answerTimeout = 10_000;

const versionSchema = z.object({
  Version: z.string(),
  ApiVersion: z.string(),
  MinAPIVersion: z.string().optional(),
  Components: z.array(z.object({ Name: z.string() })).optional(),
});

/**
 * Connect to the engine that `docker` itself would use (DOCKER_HOST, contexts, the default sockets),
 * else to podman's service. Rejects with a NoEngineError that explains every address tried.
 */
export async function engineConnection(
  env: NodeJS.ProcessEnv = process.env,
): Promise<EngineConnection> {
  return firstAnswering([...(await dockerEndpoints(env)), ...(await podmanEndpoints(env))], env);
}

/** The first of `endpoints` at which an engine answers; rejects with a NoEngineError. */
export async function firstAnswering(
  endpoints: EngineEndpoint[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<EngineConnection> {
  const refusals: Refusal[] = [];
  for (const endpoint of endpoints) {
    try {
      return await connect(endpoint, env['DOCKER_API_VERSION']);
    } catch (error) {
      refusals.push(await explainRefusal(endpoint, error));
    }
  }
  throw new NoEngineError(refusals);
}

async function connect(
  endpoint: EngineEndpoint,
  forcedVersion: string | undefined,
): Promise<EngineConnection> {
  // A large library, that only commands with an engine are to load.
  const { default: Docker } = await import('dockerode');
  const probe = new Docker(endpoint.options);
  const abortSignal = AbortSignal.timeout(answerTimeout);
  const answer = versionSchema.parse(await versionOf(probe, abortSignal));
  const apiVersion = forcedVersion ?? negotiate(answer.ApiVersion, answer.MinAPIVersion);
  const options = { ...endpoint.options, version: `v${apiVersion}` };
  const isPodman = answer.Components?.some(({ Name }) => Name.includes('Podman')) ?? false;
  return {
    kind: isPodman ? 'podman' : 'docker',
    docker: new Docker(options),
    options,
    version: answer.Version,
    origin: endpoint.origin,
    address: endpoint.address,
  };
}

// Not Docker.version(): that takes no time limit.
async function versionOf(docker: Docker, abortSignal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    docker.modem.dial(
      {
        path: '/version',
        method: 'GET',
        abortSignal,
        statusCodes: { 200: true, 500: 'server error' },
      },
      (error: Error | null, data: unknown) => {
        if (error) reject(error);
        else resolve(data);
      },
    );
  });
}

/**
 * The API version to ask for: `spokenVersion`, or what of the engine's range comes nearest to it.
 * A version before 1.25 (Docker 1.13, 2017) is refused with a DebloatError.
 */
export function negotiate(newest: string, oldest = '1.25'): string {
  if (compareVersions(newest, '1.25') < 0) {
    throw new DebloatError(`the engine is too old: it speaks API ${newest}, 1.25 is needed`, {
      hint: 'update Docker to 1.13 or newer',
    });
  }
  if (compareVersions(newest, spokenVersion) < 0) return newest;
  return compareVersions(oldest, spokenVersion) > 0 ? oldest : spokenVersion;
}

function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split('.').map(Number);
  const [majorB = 0, minorB = 0] = b.split('.').map(Number);
  return majorA - majorB || minorA - minorB;
}
