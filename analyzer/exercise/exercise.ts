import { once, setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { RunConfig } from '../image/types.js';
import type { Container, ExitStatus } from '../runtime/types.js';
import { Ending } from './ending.js';
import { defaultProbes, exposedTcpPorts } from './default-probes.js';
import { poll } from './poll.js';
import { attemptProbe, type Attempt, type ProbeContext } from './probe.js';
import { waitUntilReady } from './readiness.js';
import type { ExercisePlan, Probe, ProbeOutcome } from './types.js';

export interface ExerciseResult {
  outcomes: ProbeOutcome[];
  /** How it was known that the workload could be used, or that it ran to its end. */
  ready: string;
  /** What went wrong, as a sentence without its full stop; undefined if all went well. */
  failure?: string;
}

export interface ExerciseOptions {
  config: RunConfig;
  signal: AbortSignal;
  update?: (text: string) => void;
}

/**
 * Use a running workload as `plan` says: wait until it is ready, do each probe, then stay as long as
 * asked. Never rejects for what the workload does: that is the result.
 */
export async function exercise(
  container: Container,
  plan: ExercisePlan,
  options: ExerciseOptions,
): Promise<ExerciseResult> {
  const { config, signal, update = () => undefined } = options;
  const chosen = plan.probes.length > 0;
  let probes = chosen ? plan.probes : defaultProbes(config);
  const exposed = exposedTcpPorts(config);
  const needed = neededPorts(plan, config);
  const httpPort = httpPortOf(config);
  const ports = [...new Set([...exposed, ...needed])];
  const context: ProbeContext = { container, httpPort, ports, signal };
  update('waiting until the workload is ready');
  const ending = new Ending(container);
  const readiness = await waitUntilReady(container, ending, {
    config,
    ports: needed,
    otherwise: portsMatter(plan, exposed) ? 'any-port' : 'nothing',
    timeout: plan.timeout,
    signal,
  });
  if (readiness.state === 'late') {
    const { waitedFor, instead } = readiness;
    const hint = instead === undefined ? '' : ` (${instead})`;
    return fail([], `the workload did not ${waitedFor} within ${plan.timeout} s${hint}`);
  }
  if (readiness.state === 'exited') {
    const { code } = readiness.status;
    if (code === 0 && !chosen) return { outcomes: [], ready: 'it ran to its end' };
    return fail([], `the workload ended with exit code ${code} before it could be used`);
  }
  if (!chosen) {
    const listening = await container.listeningPorts();
    probes = probes.filter((probe) => listening.includes(portOf(probe) ?? 0));
  }
  const outcomes: ProbeOutcome[] = [];
  for (const probe of probes) {
    update(describe(probe));
    const outcome = await doProbe(probe, plan.timeout, context, ending);
    outcomes.push(outcome);
    if (!outcome.ok)
      return fail(outcomes, `the probe ${describe(probe)} failed: ${outcome.detail}`);
  }
  await stay(plan, container, signal, update);
  const end = ending.ended();
  if (end && end.code !== 0) {
    return fail(outcomes, `the workload ended by itself with exit code ${end.code}`);
  }
  return { outcomes, ready: readiness.how };
}

/**
 * Ports that the probes of `plan` use. An image may expose ports that it does not listen on, so that
 * only those of probes asked for are to be waited for.
 */
export function neededPorts({ probes }: ExercisePlan, config: RunConfig): number[] {
  const httpPort = httpPortOf(config);
  return [...new Set(probes.flatMap((probe) => portOf(probe, httpPort) ?? []))];
}

/** The port of an HTTP probe that names none. */
function httpPortOf(config: RunConfig): number {
  return exposedTcpPorts(config)[0] ?? 80;
}

/** A probe as one short phrase, as it would be written on the command line. */
export function describe(probe: Probe): string {
  switch (probe.kind) {
    case 'http':
      return `--http '${probe.method ? `${probe.method} ` : ''}${probe.port ? `${probe.port}:` : ''}${probe.path}'`;
    case 'tcp':
      return `--tcp ${probe.port}`;
    case 'exec':
    case 'host-exec':
      return `--${probe.kind} '${probe.command}'`;
  }
}

async function doProbe(
  probe: Probe,
  timeout: number,
  context: ProbeContext,
  ending: Ending,
): Promise<ProbeOutcome> {
  const startedAt = performance.now();
  const limit = AbortSignal.timeout(timeout * 1000);
  const signal = AbortSignal.any([context.signal, limit]);
  setMaxListeners(0, signal); // every attempt listens to it
  let last: Attempt = { ok: false, detail: 'not tried' };
  try {
    await poll(
      async () => {
        last = await attempt(probe, { ...context, signal }, ending);
        return last.retry ? undefined : last;
      },
      { timeout: Math.min(timeout, 15), signal },
    );
  } catch (error) {
    context.signal.throwIfAborted();
    if (!limit.aborted) throw error;
    last = { ok: false, detail: `no answer within ${timeout} s` };
  }
  return {
    probe,
    ok: last.ok,
    detail: last.detail,
    ...(last.status !== undefined && { status: last.status }),
    seconds: (performance.now() - startedAt) / 1000,
  };
}

/** Do `probe` once; where the workload has ended, that is what is wrong. */
async function attempt(probe: Probe, context: ProbeContext, ending: Ending): Promise<Attempt> {
  const ended = ({ code }: ExitStatus) => ({
    ok: false,
    detail: `the workload has ended with exit code ${code}`,
  });
  try {
    const result = await attemptProbe(probe, context);
    const status = ending.ended();
    return !result.ok && status ? ended(status) : result;
  } catch (error) {
    context.signal.throwIfAborted();
    return ended(await ending.explains(error));
  }
}

/**
 * Whether a port tells that the workload is up, where no probe names one. Probes that need none (a
 * queue's worker) tell by themselves; where no one asks anything, it is a server or a job.
 */
function portsMatter(plan: ExercisePlan, exposed: readonly number[]): boolean {
  if (exposed.length > 0) return true;
  return plan.probes.length === 0 && plan.continueAfter.kind === 'probes';
}

async function stay(
  { continueAfter }: ExercisePlan,
  container: Container,
  signal: AbortSignal,
  update: (text: string) => void,
): Promise<void> {
  if (continueAfter.kind === 'probes') return;
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  const told =
    continueAfter.kind === 'seconds'
      ? delay(continueAfter.seconds * 1000, undefined, { signal: either })
      : once(process, 'SIGUSR1', { signal: either });
  update(
    continueAfter.kind === 'seconds'
      ? `running for ${continueAfter.seconds} s more`
      : `running until SIGUSR1 (kill -USR1 ${process.pid})`,
  );
  told.catch(() => undefined); // aborted: told below
  try {
    await Promise.race([told, container.exited]);
  } finally {
    done.abort();
    signal.throwIfAborted();
  }
}

function portOf(probe: Probe, httpPort?: number): number | undefined {
  if (probe.kind === 'tcp') return probe.port;
  return probe.kind === 'http' ? (probe.port ?? httpPort) : undefined;
}

function fail(outcomes: ProbeOutcome[], failure: string): ExerciseResult {
  return { outcomes, ready: '', failure };
}
