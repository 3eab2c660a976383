import { DebloatError, messageOf } from '../errors.js';
import { firstAnswering, NoEngineError } from './engine-connection.js';
import { dockerEndpoints, podmanEndpoints } from './engine-endpoint.js';
import { engineRuntime } from './engine/runtime.js';
import { ociRuntime } from './oci/runtime.js';
import { runtimeNames, type Runtime, type RuntimeName } from './types.js';

/** A runtime that can be used, or why it cannot and what the user can do about it. */
export type RuntimeSurvey =
  | { name: RuntimeName; available: true; description: string }
  | { name: RuntimeName; available: false; reason: string; hint?: string };

/** What each runtime needs to be found working; rejects with a DebloatError where it does not. */
const strategies: Record<RuntimeName, (env: NodeJS.ProcessEnv) => Promise<Runtime>> = {
  docker: async (env) => engineRuntime(await firstAnswering(await dockerEndpoints(env), env)),
  podman: async (env) => engineRuntime(await firstAnswering(await podmanEndpoints(env), env)),
  runc: () => ociRuntime('runc'),
  crun: () => ociRuntime('crun'),
};

export interface SelectOptions {
  /** The image as the user gave it, for the message. */
  reference?: string;
  /** Only this one, whatever else there is. */
  force?: RuntimeName | undefined;
  env?: NodeJS.ProcessEnv;
}

/**
 * The runtime to use: the first of `runtimeNames` that works (an engine first: it may have the image
 * already), or the one forced. Rejects with one DebloatError that says for each why it cannot be used.
 */
export async function selectRuntime(options: SelectOptions = {}): Promise<Runtime> {
  const { force, reference = 'the image', env = process.env } = options;
  const refusals: { name: RuntimeName; reason: string; hint: string | undefined }[] = [];
  for (const name of force ? [force] : runtimeNames) {
    try {
      return await strategies[name](env);
    } catch (error) {
      refusals.push({ name, ...refusalOf(error) });
    }
  }
  const [first] = refusals;
  if (force && first) {
    throw new DebloatError(`--runtime ${force} cannot be used: ${first.reason}`, {
      ...(first.hint !== undefined && { hint: first.hint }),
    });
  }
  const each = refusals.map(({ name, reason }) => `\n  ${name}: ${reason}`).join('');
  throw new DebloatError(`there is nothing to run ${reference} with:${each}`, {
    hint: 'start a Docker or podman engine (or set DOCKER_HOST), or install runc and run as root; `debloat doctor` says more',
  });
}

/** Try every runtime, for `debloat doctor`; never rejects. */
export async function surveyRuntimes(
  env: NodeJS.ProcessEnv = process.env,
): Promise<RuntimeSurvey[]> {
  return Promise.all(
    runtimeNames.map(async (name): Promise<RuntimeSurvey> => {
      try {
        const { description } = await strategies[name](env);
        return { name, available: true, description };
      } catch (error) {
        const { reason, hint } = refusalOf(error);
        return { name, available: false, reason, ...(hint !== undefined && { hint }) };
      }
    }),
  );
}

function refusalOf(error: unknown): { reason: string; hint: string | undefined } {
  if (error instanceof NoEngineError) {
    const reason = error.refusals.map((refusal) => refusal.reason).join('; ');
    return { reason, hint: error.hint };
  }
  return {
    reason: messageOf(error),
    hint: error instanceof DebloatError ? error.hint : undefined,
  };
}
