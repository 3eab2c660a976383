import type { RunConfig } from '../image/types.js';

/** The command of an image's HEALTHCHECK, or undefined if it has none (Docker image spec: NONE, CMD, CMD-SHELL). */
export function healthcheckArgv(config: RunConfig): string[] | undefined {
  const [kind, ...rest] = config.Healthcheck?.Test ?? [];
  if (kind === 'CMD' && rest.length > 0) return rest;
  if (kind === 'CMD-SHELL' && rest[0] !== undefined)
    return [...(config.Shell ?? ['/bin/sh', '-c']), rest[0]];
  return undefined;
}
