import { DebloatError, ExitCode } from '../analyzer/errors.js';
import type { ExercisePlan, Probe, ProbeOutcome } from '../analyzer/exercise/types.js';
import type { ImagePath } from '../analyzer/image/path.js';
import type { Image } from '../analyzer/image/types.js';
import type { KeepSet } from '../analyzer/keep/types.js';
import { printable } from '../analyzer/report/format.js';
import type { Runtime } from '../analyzer/runtime/types.js';
import type { Trace } from '../analyzer/trace/types.js';
import { openImage } from '../analyzer/transport/open-image.js';
import type { Job } from './job.js';
import { runWorkload, workloadFailure } from './run-workload.js';
import type { BuiltImage } from './types.js';
import type { PlannedWorkload } from './workload.js';

/**
 * Run the debloated image as `workload` says (see {@link verificationPlan}). Rejects with exit code 4 and the names of the
 * removed files that were asked for if it does not do the same.
 */
export async function verifyImage(
  built: BuiltImage,
  original: Image,
  keepSet: KeepSet,
  workload: PlannedWorkload,
  runtime: Runtime,
  job: Job,
): Promise<{ outcomes: ProbeOutcome[]; missed: ImagePath[] }> {
  return job.stage('Verify: run the debloated image', async (update) => {
    const { workspace, signal } = job;
    const image = await openImage(`oci:${built.layout}`, { workspace, signal });
    const loaded = await runtime.load(image, workspace, signal);
    try {
      const result = await runWorkload(image, loaded, runtime, workload, signal, update);
      const missed = removedButWanted(result.trace, original, keepSet);
      if (result.failure === undefined) return { outcomes: result.outcomes, missed };
      throw verificationFailure(workloadFailure('debloated', result), missed);
    } finally {
      await loaded.unload();
    }
  });
}

/**
 * The plan for the debloated image: the probes that the original passed, each HTTP one to be answered
 * with the same status. Where the original was not run (a trace was given) an error status will not do.
 */
export function verificationPlan(
  plan: ExercisePlan,
  outcomes: readonly ProbeOutcome[],
): ExercisePlan {
  if (outcomes.length > 0) {
    return { ...plan, probes: outcomes.map(({ probe, status }) => expecting(probe, status)) };
  }
  return { ...plan, probes: plan.probes.map((probe) => expecting(probe, undefined)) };
}

function expecting(probe: Probe, status: number | undefined): Probe {
  if (probe.kind !== 'http' || probe.expect !== undefined) return probe;
  return { ...probe, expect: status === undefined ? '2xx-3xx' : String(status) };
}

/** Paths that this run asked for in vain, and that the original has. */
function removedButWanted(trace: Trace, original: Image, keepSet: KeepSet): ImagePath[] {
  return Object.keys(trace.missing)
    .filter((path) => original.tree.get(path) && !keepSet.reasons.has(path))
    .sort();
}

function verificationFailure(failure: DebloatError, missed: ImagePath[]): DebloatError {
  const shown = missed.slice(0, 10).map(printable);
  const more = missed.length > shown.length ? ` and ${missed.length - shown.length} more` : '';
  const asked =
    shown.length === 0 ? '' : `; it asked for removed files: ${shown.join(', ')}${more}`;
  const hint =
    shown.length === 0
      ? failure.hint
      : `keep them (${missed
          .slice(0, 3)
          .map((path) => `--keep '${printable(path)}'`)
          .join(
            ' ',
          )}${missed.length > 3 ? ' …' : ''}), exercise more of the workload, or use a wider --policy`;
  return new DebloatError(`nothing was tagged: ${failure.message}${asked}`, {
    exitCode: ExitCode.verificationFailed,
    cause: failure,
    ...(hint !== undefined && { hint }),
  });
}
