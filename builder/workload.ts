import { probesFrom } from '../analyzer/exercise/parse-probe.js';
import type { ExercisePlan, ProbeOutcome } from '../analyzer/exercise/types.js';
import type { Image } from '../analyzer/image/types.js';
import { loadProfiles, matchProfile, type Profile } from '../analyzer/keep/profile.js';
import { selectRuntime } from '../analyzer/runtime/select.js';
import type { RunOptions, Runtime, RuntimeName } from '../analyzer/runtime/types.js';
import { hasConverged, mergeTraces } from '../analyzer/trace/trace.js';
import type { Trace } from '../analyzer/trace/types.js';
import type { Job } from './job.js';
import { runWorkload, workloadFailure, type RunResult, type Workload } from './run-workload.js';

/** What the user said of how to run the image. */
export interface WorkloadRequest {
  runtime?: RuntimeName | undefined;
  run: RunOptions;
  plan: ExercisePlan;
  /** How often the workload runs; the traces are merged. */
  runs: number;
  /** A profile read from a file, false for none, undefined for the built-in one that fits. */
  profile?: Profile | false | undefined;
}

export interface PlannedWorkload extends Workload {
  profile: Profile | undefined;
}

/** The workload as asked for, completed by the profile of the image: its probes where none are given. */
export async function planWorkload(
  image: Image,
  request: WorkloadRequest,
): Promise<PlannedWorkload> {
  const { run, plan } = request;
  const config = image.config.value.config ?? {};
  const profile =
    request.profile === undefined
      ? matchProfile(await loadProfiles(), config, image.reference)
      : request.profile || undefined;
  if (!profile) return { run, plan, profile };
  return {
    profile,
    run: {
      ...run,
      env: [...unsetVariables(profile.env, config.Env ?? [], run.env ?? []), ...(run.env ?? [])],
    },
    plan: plan.probes.length > 0 ? plan : { ...plan, probes: probesFrom(profile) },
  };
}

function unsetVariables(wanted: string[], ...set: string[][]): string[] {
  const names = new Set(set.flat().map((variable) => variable.split('=')[0]));
  return wanted.filter((variable) => !names.has(variable.split('=')[0]));
}

/** Run the original so often as asked and merge what was seen. A run that fails is an error. */
export async function traceWorkload(
  image: Image,
  workload: PlannedWorkload,
  request: WorkloadRequest,
  job: Job,
): Promise<{ trace: Trace; outcomes: ProbeOutcome[]; runtime: Runtime; warnings: string[] }> {
  const runtime = await selectRuntime({ force: request.runtime });
  const loaded = await job.stage(`Bring the image to ${runtime.description}`, () =>
    runtime.load(image, job.workspace, job.signal),
  );
  try {
    const results: RunResult[] = [];
    for (let n = 1; n <= request.runs; n++) {
      const title =
        request.runs > 1
          ? `Run and trace the workload (${n} of ${request.runs})`
          : 'Run and trace the workload';
      results.push(
        await job.stage(title, async (update) => {
          const result = await runWorkload(image, loaded, runtime, workload, job.signal, update);
          if (result.failure !== undefined) throw workloadFailure('original', result);
          return result;
        }),
      );
    }
    const trace = mergeTraces(results.map((result) => result.trace));
    return {
      trace,
      outcomes: results.at(-1)?.outcomes ?? [],
      runtime,
      warnings: [...new Set(results.flatMap((result) => result.warnings)), ...traceWarnings(trace)],
    };
  } finally {
    await loaded.unload();
  }
}

function traceWarnings(trace: Trace): string[] {
  const warnings: string[] = [];
  const lost = trace.runs.reduce((sum, run) => sum + (run.lost ?? 0), 0);
  if (lost > 0) {
    warnings.push(
      `The trace is incomplete: ${lost} records could not be written (is the disk of the container full?).`,
    );
  }
  if (trace.runs.length > 1 && !hasConverged(trace)) {
    const found = trace.runs.at(-1)?.newPaths ?? 0;
    warnings.push(
      `The last run still used ${found} paths that no run before had used: more runs may find more (--runs).`,
    );
  }
  return warnings;
}
