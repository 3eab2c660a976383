import { execa } from 'execa';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the tools that tests start have their workspaces, apart from those of anyone else here. */
export const workspaceParent = mkdtempSync(
  join(process.env['DEBLOAT_TEST_STATE'] ?? tmpdir(), 'dbt-work-'),
);

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface CliOptions {
  env?: Record<string, string>;
  input?: string;
  cwd?: string;
  /** Milliseconds; default 4 minutes. */
  timeout?: number;
  /** Aborted: the tool gets `killSignal`. */
  signal?: AbortSignal;
  killSignal?: NodeJS.Signals;
}

export interface CliResult {
  /** Exit code; 128 + signal number where a signal ended it, as a shell says. */
  code: number;
  stdout: string;
  stderr: string;
}

/** Start the built command line, to be signalled; settles when it has ended, and never rejects. */
export function startCli(args: string[], env: Record<string, string> = {}) {
  return execa(process.execPath, ['--', main, ...args], {
    env: { NO_COLOR: '1', DEBLOAT_TMPDIR: workspaceParent, ...env },
    stdin: 'ignore',
    reject: false,
    timeout: 240_000,
  });
}

const signalNumbers: Partial<Record<string, number>> = { SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

/** Run the built command line as a user would; never rejects because of its exit code. */
export async function runCli(args: string[], options: CliOptions = {}): Promise<CliResult> {
  const result = await execa(process.execPath, ['--', main, ...args], {
    env: { NO_COLOR: '1', DEBLOAT_TMPDIR: workspaceParent, ...options.env },
    input: options.input ?? '',
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    timeout: options.timeout ?? 240_000,
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    killSignal: options.killSignal ?? 'SIGTERM',
    forceKillAfterDelay: false,
    reject: false,
  });
  if (result.timedOut) {
    throw new Error(`debloat ${args.join(' ')} did not end:\n${result.stderr}`);
  }
  return {
    code: result.exitCode ?? 128 + (signalNumbers[result.signal ?? ''] ?? 0),
    stdout: result.stdout,
    stderr: result.stderr,
  };
}

/** Like {@link runCli}, for runs that must succeed: fails with all that the tool said. */
export async function runCliWell(args: string[], options: CliOptions = {}): Promise<CliResult> {
  const result = await runCli(args, options);
  if (result.code !== 0) {
    throw new Error(`debloat ${args.join(' ')} ended with ${result.code}:\n${result.stderr}`);
  }
  return result;
}
