import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { DebloatError, ExitCode, messageOf } from '../analyzer/errors.js';
import { listTargets } from '../attacher/list-targets.js';
import { matchTargets } from '../attacher/match-targets.js';
import { abortOnSignals } from './interrupt.js';
import { renderTable } from './render-table.js';
import type { SessionArguments } from './user-session.js';

/** What one target gave: the JSON of `debloat attach TARGET --exec`, or why it gave nothing. */
export type Outcome = { target: string } & (
  | {
      code: number;
      overlay?: string;
      stdout: string;
      stderr: string;
      milliseconds?: { total: number };
    }
  | { error: { message: string; hint?: string } }
);

const program = fileURLToPath(new URL('main.js', import.meta.url));

/** How long an interrupted session may take to leave its target, in milliseconds. */
const patience = 60_000;

/**
 * `debloat attach --all PATTERN --exec COMMAND`: the command in every target that matches, `jobs` at
 * a time, each in a process of its own so that none can hurt another. Exit code 1 if any failed.
 * `passed`: words of the command line for each of them.
 */
export async function attachToAll(
  pattern: string,
  jobs: number,
  passed: readonly string[],
  options: SessionArguments,
): Promise<void> {
  const signal = abortOnSignals();
  const targets = matchTargets(pattern, await listTargets()).map(({ target }) => target);
  if (targets.length === 0) {
    throw new DebloatError(`Nothing that runs here matches ${pattern}.`, {
      hint: '`debloat targets` lists what there is',
    });
  }
  const outcomes = await inParallel(targets, jobs, (target) => {
    signal.throwIfAborted();
    return attachTo(target, passed, options.quiet === true, signal);
  });
  signal.throwIfAborted();
  process.stdout.write(
    options.format === 'json' ? `${JSON.stringify(outcomes)}\n` : table(outcomes),
  );
  const good = outcomes.every((outcome) => 'code' in outcome && outcome.code === 0);
  process.exitCode = good ? ExitCode.ok : ExitCode.failure;
}

/** The results of `work` for each of `items`, at most `most` of them under way at a time. All have ended then. */
export async function inParallel<T, R>(
  items: readonly T[],
  most: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const workers = Array.from({ length: Math.min(most, items.length) }, async () => {
    for (const [n, item] of queue) results[n] = await work(item);
  });
  const ends = await Promise.allSettled(workers);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return results;
}

async function attachTo(
  target: string,
  passed: readonly string[],
  quiet: boolean,
  signal: AbortSignal,
): Promise<Outcome> {
  const child = execa(
    process.execPath,
    ['--', program, 'attach', target, ...passed, '--format', 'json'],
    {
      ...{ stdin: 'ignore', reject: false, maxBuffer: 2 ** 28, env: { NO_COLOR: '1' } },
      // Out of reach of the terminal's Ctrl-C: with our SIGTERM it would be a second signal, which ends it without clean-up.
      ...{ detached: true, cancelSignal: signal, forceKillAfterDelay: patience },
    },
  );
  const telling = quiet ? undefined : tell(target, child.iterable({ from: 'stderr' }));
  const { stdout } = await child;
  await telling;
  return outcomeOf(target, stdout);
}

async function tell(target: string, lines: AsyncIterable<string>): Promise<void> {
  try {
    for await (const line of lines) process.stderr.write(`${target}: ${line}\n`);
  } catch {
    // That it ended badly is told by its result.
  }
}

/** What a child's output says; one that said nothing has died. */
export function outcomeOf(target: string, stdout: string): Outcome {
  try {
    return { ...(JSON.parse(stdout) as object), target } as Outcome;
  } catch (error) {
    return { target, error: { message: `it ended without a result: ${messageOf(error)}` } };
  }
}

/** A row for each target: code, time until the command ran, overlay, and the first line of what came of it. */
export function table(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map((outcome): string[] => {
    if ('error' in outcome)
      return [outcome.target, '-', '-', '-', firstLine(outcome.error.message)];
    const { target, code, overlay, stdout, stderr, milliseconds } = outcome;
    const ready = milliseconds === undefined ? '-' : milliseconds.total.toFixed(0);
    const digest = overlay?.replace('sha256:', '').slice(0, 12) ?? '-';
    return [target, String(code), ready, digest, firstLine(stdout) || firstLine(stderr)];
  });
  return renderTable([['TARGET', 'CODE', 'READY MS', 'OVERLAY', 'RESULT'], ...rows]);
}

function firstLine(text: string): string {
  return text.trimStart().split('\n', 1)[0] ?? '';
}
