import { Listr, ListrLogger, PRESET_TIMER, ProcessOutput } from 'listr2';

/** Runs one named stage; `update` replaces the line below its title. */
export type Stage = <T>(
  title: string,
  run: (update: (text: string) => void) => Promise<T>,
) => Promise<T>;

export interface ProgressOptions {
  /** Draw a live view; otherwise one plain line when a stage starts and one when it ends. */
  live: boolean;
  /** Say nothing at all. */
  quiet: boolean;
}

/** A live view only where someone can watch it: a terminal, and not a CI system's pretended one. */
export function wantsLiveProgress(env: NodeJS.ProcessEnv = process.env): boolean {
  return process.stderr.isTTY && !env['CI'] && env['TERM'] !== 'dumb';
}

/** A stage runner that shows progress on stderr, so that stdout carries the result alone. */
export function createProgress({ live, quiet }: ProgressOptions): Stage {
  return async (title, run) => {
    if (quiet) return run(() => undefined);
    return live ? runLive(title, run) : runPlain(title, run);
  };
}

async function runLive<T>(
  title: string,
  run: (update: (text: string) => void) => Promise<T>,
): Promise<T> {
  let result: { value: T } | undefined;
  const list = new Listr(
    [
      {
        title,
        task: async (_, task) => {
          const update = (text: string) => void (task.output = text);
          result = { value: await run(update) };
        },
      },
    ],
    {
      registerSignalListeners: false, // Ctrl-C is ours: it must clean up first
      rendererOptions: {
        showErrorMessage: false, // main prints it, with its hint
        timer: { ...PRESET_TIMER, field: (ms: number) => `${(ms / 1000).toFixed(1)} s` },
        logger: new ListrLogger({
          useIcons: true,
          toStderr: [],
          processOutput: new ProcessOutput(process.stderr, process.stdout),
        }),
      },
    },
  );
  await list.run();
  if (!result) throw new Error(`stage "${title}" did not run`);
  return result.value;
}

async function runPlain<T>(
  title: string,
  run: (update: (text: string) => void) => Promise<T>,
): Promise<T> {
  const startedAt = performance.now();
  process.stderr.write(`${title} ...\n`);
  const seconds = () => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  try {
    const value = await run(() => undefined);
    process.stderr.write(`${title}: done (${seconds()})\n`);
    return value;
  } catch (error) {
    process.stderr.write(`${title}: failed (${seconds()})\n`);
    throw error;
  }
}
