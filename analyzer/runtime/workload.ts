import { DebloatError } from '../errors.js';
import type { RunConfig } from '../image/types.js';
import type { RunOptions } from './types.js';

/**
 * The command line of the workload: the image's entrypoint and cmd, or what `options` puts in their
 * place (a new entrypoint drops the image's cmd, as `docker run --entrypoint` does).
 */
export function workloadArgv(config: RunConfig, options: RunOptions): string[] {
  const entrypoint = options.entrypoint ?? config.Entrypoint ?? [];
  const cmd = options.cmd ?? (options.entrypoint ? [] : (config.Cmd ?? []));
  const argv = [...entrypoint, ...cmd];
  if (argv.length === 0) {
    throw new DebloatError('the image names no command to run', {
      hint: 'give one with --entrypoint or --cmd',
    });
  }
  return argv;
}

/** The environment of the workload: the image's, overridden by name by the options'. */
export function workloadEnv(config: RunConfig, options: RunOptions): string[] {
  const byName = new Map<string, string>();
  for (const setting of [...(config.Env ?? []), ...(options.env ?? [])]) {
    byName.set(setting.split('=', 1)[0] ?? setting, setting);
  }
  return [...byName.values()];
}

/** TCP ports that the image declares with EXPOSE, ascending. */
export function exposedPorts(config: RunConfig): number[] {
  return Object.keys(config.ExposedPorts ?? {})
    .flatMap((spec) => {
      const match = /^(\d+)(?:-(\d+))?(?:\/tcp)?$/.exec(spec);
      if (!match) return [];
      const first = Number(match[1]);
      const last = Math.min(Number(match[2] ?? first), first + 99);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    })
    .sort((a, b) => a - b);
}
