import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { DebloatError } from '../../errors.js';
import type { ExitStatus } from '../types.js';
import { lastError } from './cli.js';

/** The exit of a `runc run` or `exec`: it ends as the container's process does. */
export function exitOf(child: ChildProcess): Promise<ExitStatus> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) =>
      reject(new DebloatError(`cannot run ${child.spawnfile}: ${error.message}`, { cause: error })),
    );
    child.on('exit', (code, signal) => {
      if (signal === null) resolve({ code: code ?? 1 });
      else reject(new DebloatError(`${child.spawnfile} was ended by ${signal}`));
    });
  });
}

/**
 * The pid of a container's process (`what` for messages), once it is there (`pidFile` of `runc run` or `exec`). Rejects
 * with a DebloatError from the runtime's `log` if it could not be started.
 */
export async function pidWhenStarted(
  exited: Promise<ExitStatus>,
  pidFile: string,
  log: string,
  what: string,
): Promise<number> {
  let exit: ExitStatus | undefined;
  const ended = exited.then((status) => void (exit = status));
  for (let pause = 5; ; pause = Math.min(pause * 2, 50)) {
    const over = exit !== undefined;
    const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
    if (pid > 0) return pid;
    if (over) {
      const reason = (await lastError(log)) ?? `exit code ${exit?.code ?? 'unknown'}`;
      throw new DebloatError(`${what} cannot be started: ${reason}`);
    }
    await Promise.race([delay(pause), ended]);
  }
}
