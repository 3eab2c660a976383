import type { RunConfig } from '../image/types.js';

/** Where a shell looks for programs if the image sets no PATH (Docker's own default). */
const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What the image's config says about how its workload starts. */
export interface Environment {
  variables: ReadonlyMap<string, string>;
  /** Directories of PATH in order. */
  path: readonly string[];
  /** Directories of LD_LIBRARY_PATH in order. */
  libraryPath: readonly string[];
  workingDirectory: string;
  entrypoint: readonly string[];
  cmd: readonly string[];
  volumes: readonly string[];
  /** HEALTHCHECK as the config has it: ["CMD", …], ["CMD-SHELL", "…"], ["NONE"] or nothing. */
  healthcheck: readonly string[];
  shell: readonly string[];
}

/** Read an image's run config; whatever is left out gets the runtime's default. */
export function readEnvironment(config: RunConfig = {}): Environment {
  const variables = new Map<string, string>();
  for (const setting of config.Env ?? []) {
    const equals = setting.indexOf('=');
    if (equals > 0) variables.set(setting.slice(0, equals), setting.slice(equals + 1));
  }
  return {
    variables,
    path: directories(variables.get('PATH') ?? defaultPath),
    libraryPath: directories(variables.get('LD_LIBRARY_PATH') ?? ''),
    workingDirectory:
      config.WorkingDir === undefined || config.WorkingDir === '' ? '/' : config.WorkingDir,
    entrypoint: config.Entrypoint ?? [],
    cmd: config.Cmd ?? [],
    volumes: Object.keys(config.Volumes ?? {}),
    healthcheck: config.Healthcheck?.Test ?? [],
    shell: config.Shell ?? ['/bin/sh', '-c'],
  };
}

function directories(list: string): string[] {
  return list.split(/[:;]/).filter((dir) => dir.startsWith('/'));
}
