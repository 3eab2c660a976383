import { Command } from 'commander';
import { readProfile } from '../../analyzer/keep/profile.js';
import { count, counted } from '../../analyzer/report/format.js';
import { formatTrace, writeTrace } from '../../analyzer/trace/format.js';
import type { Trace } from '../../analyzer/trace/types.js';
import { hasConverged } from '../../analyzer/trace/trace.js';
import { openSource } from '../../builder/debloat-image.js';
import { planWorkload, traceWorkload } from '../../builder/workload.js';
import {
  addCommonOptions,
  addRunOptions,
  addSourceOptions,
  option,
  type CommonOptions,
  type RunCommandOptions,
  type SourceOptions,
} from '../options.js';
import { workloadFrom } from '../run-plan.js';
import { accessFrom, withJob } from '../session.js';

interface TraceOptions extends CommonOptions, SourceOptions, RunCommandOptions {
  output?: string;
}

/** `debloat trace IMAGE`: run the workload and write down every path it used. */
export function traceCommand(): Command {
  const command = new Command('trace')
    .description('run the workload and write down every path it used, without building anything')
    .argument(
      '<image>',
      'docker://NAME, registry://NAME, oci:DIR:TAG, docker-archive:FILE, … or a bare name',
    )
    .addOption(option('-o, --output <file>', 'write the trace there instead of to stdout'));
  return addCommonOptions(addRunOptions(addSourceOptions(command))).action(trace);
}

async function trace(reference: string, options: TraceOptions): Promise<void> {
  const { profile, output } = options;
  const request = {
    ...(await workloadFrom(options)),
    profile:
      typeof profile === 'string'
        ? await readProfile(profile)
        : profile === false
          ? (false as const)
          : undefined,
  };
  const { trace: made, warnings } = await withJob(options, async (job) => {
    const image = await openSource(reference, accessFrom(options), job);
    return traceWorkload(image, await planWorkload(image, request), request, job);
  });
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  if (output === undefined) {
    process.stdout.write(formatTrace(made));
    return;
  }
  await writeTrace(output, made);
  process.stdout.write(
    options.format === 'json'
      ? `${JSON.stringify({ trace: output, ...summary(made) })}\n`
      : describe(made, output),
  );
}

function summary(made: Trace) {
  return {
    paths: Object.keys(made.paths).length,
    missing: Object.keys(made.missing).length,
    events: made.runs.reduce((sum, run) => sum + run.events, 0),
    runs: made.runs.length,
    converged: made.runs.length > 1 ? hasConverged(made) : null,
  };
}

function describe(made: Trace, output: string): string {
  const { paths, events, runs, converged } = summary(made);
  const state =
    converged === null
      ? ''
      : converged
        ? '; the last run used nothing new'
        : '; the last run still used new paths';
  return `${output}: ${counted(paths, 'path')} used in ${counted(runs, 'run')} (${count(events)} system calls)${state}\n`;
}
