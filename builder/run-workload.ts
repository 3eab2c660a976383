import { DebloatError } from '../analyzer/errors.js';
import { exercise, neededPorts, type ExerciseResult } from '../analyzer/exercise/exercise.js';
import type { ExercisePlan } from '../analyzer/exercise/types.js';
import type { Image } from '../analyzer/image/types.js';
import type { LoadedImage, RunOptions, Runtime } from '../analyzer/runtime/types.js';
import { traceFromRun } from '../analyzer/trace/trace.js';
import type { RawTrace } from '../analyzer/trace/raw.js';
import type { Trace } from '../analyzer/trace/types.js';

/** How the workload is started and used. */
export interface Workload {
  run: RunOptions;
  plan: ExercisePlan;
}

export interface RunResult extends ExerciseResult {
  trace: Trace;
  /** The workload's last output. */
  logs: string;
  /** What the runtime could not do as asked, in whole sentences. */
  warnings: readonly string[];
}

/** Run the workload of `image` once from start to stop, traced; its container is gone afterwards. */
export async function runWorkload(
  image: Image,
  loaded: LoadedImage,
  runtime: Runtime,
  { run, plan }: Workload,
  signal: AbortSignal,
  update: (text: string) => void,
): Promise<RunResult> {
  const startedAt = new Date();
  const config = image.config.value.config ?? {};
  const container = await loaded.run({ ...run, ports: neededPorts(plan, config) });
  try {
    const result = await exercise(container, plan, { config, signal, update });
    update('stopping the workload');
    const { code } = await container.stop();
    const logs = await container.logs();
    const raw = await container.collect();
    const seconds = (Date.now() - startedAt.getTime()) / 1000;
    const trace = traceFromRun(raw, {
      image: { reference: image.reference, configDigest: image.config.digest },
      startedAt: startedAt.toISOString(),
      seconds,
      runtime: runtime.description,
      exitCode: code,
    });
    return {
      ...result,
      trace,
      logs,
      warnings: [...container.warnings, ...setuidWarning(image, raw)],
    };
  } finally {
    await container.remove();
  }
}

/** A failed run as an error for the user, with the last that the workload said. */
export function workloadFailure(which: 'original' | 'debloated', result: RunResult): DebloatError {
  const said = result.logs.trim().split('\n').slice(-8).join('\n        ');
  const words =
    said === ''
      ? 'the workload printed nothing; check how it is started (--env, --cmd, --user) and what it is asked (--http, --exec, --timeout)'
      : `the workload’s last words:\n        ${said}`;
  return new DebloatError(`on the ${which} image ${result.failure ?? 'the run failed'}`, {
    hint: [...result.warnings, words].join('\n       '),
  });
}

// no_new_privs, the price of tracing without CAP_SYS_ADMIN, takes setuid programs their power.
function setuidWarning(image: Image, raw: RawTrace): string[] {
  if (!raw.noNewPrivileges) return [];
  const programs = raw.records.filter(
    ({ kind, path }) => kind === 'exec' && ((image.tree.get(path)?.inode.mode ?? 0) & 0o4000) !== 0,
  );
  const names = [...new Set(programs.map(({ path }) => path))];
  if (names.length === 0) return [];
  return [
    `${names.join(', ')} ran without the setuid bit, which this runtime's tracing turns off; if that mattered, use --runtime runc.`,
  ];
}
