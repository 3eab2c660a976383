import type { RunConfig } from '../image/types.js';
import type { Container, ExitStatus } from '../runtime/types.js';
import { exposedTcpPorts } from './default-probes.js';
import type { Ending } from './ending.js';
import { healthcheckArgv } from './healthcheck.js';
import { poll } from './poll.js';

/** How the wait for the workload ended. */
export type Readiness =
  | { state: 'ready'; how: string }
  | { state: 'exited'; status: ExitStatus }
  /** `waitedFor` completes "it did not …"; `instead` says what it does, if that may tell why. */
  | { state: 'late'; waitedFor: string; instead?: string };

export interface ReadinessOptions {
  config: RunConfig;
  /** Ports that the probes are going to use. */
  ports: readonly number[];
  /**
   * Where neither a healthcheck nor a port tells: wait until it listens on any port or ends, or take
   * it as it is (a probe will tell, or someone else decides how long it runs).
   */
  otherwise: 'any-port' | 'nothing';
  /** Seconds. */
  timeout: number;
  signal: AbortSignal;
}

/** For how many seconds none of the ports that the image declares may be listened on. */
const declaredPortPatience = 30;

/** Docker's default for a healthcheck that does not say, seconds. */
const healthcheckTimeout = 30;

/** Wait until the workload can be used: its healthcheck passes, the ports needed are listened on. */
export async function waitUntilReady(
  container: Container,
  ending: Ending,
  options: ReadinessOptions,
): Promise<Readiness> {
  const { timeout, signal } = options;
  const startedAt = performance.now();
  const ready = await poll<Readiness>(
    async () => {
      const status = ending.ended();
      if (status) return { state: 'exited', status };
      try {
        const how = await isReady(container, options, (performance.now() - startedAt) / 1000);
        // It may have ended while we asked: then what it listened on is gone too.
        return how === undefined || ending.ended() ? undefined : { state: 'ready', how };
      } catch (error) {
        signal.throwIfAborted();
        return { state: 'exited', status: await ending.explains(error) };
      }
    },
    { timeout, signal },
  );
  return ready ?? (await describeWait(container, options));
}

async function isReady(
  container: Container,
  { config, ports, otherwise, signal }: ReadinessOptions,
  waited: number,
): Promise<string | undefined> {
  const listening = await container.listeningPorts();
  if (!ports.every((port) => listening.includes(port))) return undefined;
  // A server that is being set up behind the scenes (a database's first run) may pass its
  // healthcheck already; it does not listen on a declared port yet.
  const declared = exposedTcpPorts(config);
  const isUp = declared.length === 0 || declared.some((port) => listening.includes(port));
  if (!isUp && waited < declaredPortPatience) return undefined;
  const healthcheck = healthcheckArgv(config);
  if (healthcheck) {
    const seconds = (config.Healthcheck?.Timeout ?? 0) / 1e9 || healthcheckTimeout;
    const code = await codeWithin(container, healthcheck, seconds, signal);
    return code === 0 ? 'its healthcheck passes' : undefined;
  }
  if (ports.length > 0) return `it listens on ${describePorts(ports)}`;
  if (otherwise === 'nothing') return 'it runs';
  return listening.length > 0 ? `it listens on ${describePorts(listening)}` : undefined;
}

/** Exit code of `argv` in the container; undefined if it takes longer. */
async function codeWithin(
  container: Container,
  argv: string[],
  seconds: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const limit = AbortSignal.timeout(seconds * 1000);
  try {
    return (await container.exec(argv, { signal: AbortSignal.any([signal, limit]) })).code;
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted) return undefined;
    throw error;
  }
}

async function describeWait(
  container: Container,
  { config, ports }: ReadinessOptions,
): Promise<Readiness> {
  const listening = await container.listeningPorts().catch((): number[] => []);
  const missing = ports.filter((port) => !listening.includes(port));
  if (missing.length > 0) {
    return {
      state: 'late',
      waitedFor: `listen on ${describePorts(missing)}`,
      ...(listening.length > 0 && { instead: `it listens on ${describePorts(listening)}` }),
    };
  }
  const waitedFor = healthcheckArgv(config) ? 'pass its healthcheck' : 'listen on a port, nor end';
  return { state: 'late', waitedFor };
}

function describePorts(ports: readonly number[]): string {
  return `port${ports.length > 1 ? 's' : ''} ${ports.join(', ')}`;
}
