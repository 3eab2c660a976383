import { readFile } from 'node:fs/promises';
import { DebloatError, ExitCode, messageOf } from '../analyzer/errors.js';
import { parseContinueAfter, probesFrom } from '../analyzer/exercise/parse-probe.js';
import type { WorkloadRequest } from '../builder/workload.js';
import type { ExercisePlan } from '../analyzer/exercise/types.js';
import { runtimeNames, type RunOptions } from '../analyzer/runtime/types.js';
import type { RunCommandOptions } from './options.js';

/** How to run and use the workload, from the command line's options; the profile is the caller's. */
export async function workloadFrom(
  options: RunCommandOptions,
): Promise<Omit<WorkloadRequest, 'profile'>> {
  return {
    runtime: runtimeNames.find((name) => name === options.runtime),
    run: await runOptionsFrom(options),
    plan: exercisePlanFrom(options),
    runs: options.runs,
  };
}

async function runOptionsFrom(options: RunCommandOptions): Promise<RunOptions> {
  const env = [...(await readEnvFiles(options.envFile ?? [])), ...(options.env ?? [])];
  return {
    ...(env.length > 0 && { env }),
    ...(options.mount && { mounts: options.mount }),
    ...(options.network !== undefined && { network: options.network }),
    ...(options.publish && { publish: options.publish }),
    ...(options.user !== undefined && { user: options.user }),
    ...(options.entrypoint !== undefined && {
      entrypoint: words(options.entrypoint, '--entrypoint'),
    }),
    ...(options.cmd !== undefined && { cmd: words(options.cmd, '--cmd') }),
  };
}

function exercisePlanFrom(options: RunCommandOptions): ExercisePlan {
  return {
    probes: probesFrom(options),
    continueAfter: parseContinueAfter(options.continueAfter),
    timeout: options.timeout,
  };
}

async function readEnvFiles(files: string[]): Promise<string[]> {
  const lines: string[] = [];
  for (const file of files) {
    try {
      lines.push(...(await readFile(file, 'utf8')).split('\n'));
    } catch (error) {
      throw new DebloatError(`cannot read the environment file ${file}: ${messageOf(error)}`, {
        exitCode: ExitCode.usage,
      });
    }
  }
  return lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .flatMap(inheritValue);
}

// As docker does: a bare NAME takes its value from our own environment, and is left out without one.
function inheritValue(line: string): string[] {
  if (line.includes('=')) return [line];
  const value = process.env[line];
  return value === undefined ? [] : [`${line}=${value}`];
}

function words(text: string, option: string): string[] {
  if (!text.trimStart().startsWith('[')) return text.split(/\s+/).filter(Boolean);
  try {
    const parsed: unknown = JSON.parse(text);
    if (Array.isArray(parsed) && parsed.every((word) => typeof word === 'string')) return parsed;
  } catch {
    // told below
  }
  throw new DebloatError(`${option} is not a JSON array of strings: ${text}`, {
    exitCode: ExitCode.usage,
  });
}
