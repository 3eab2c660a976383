import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startTimeOf, killSameProcess } from '../../workspace/processes.js';
import type { ExecResult } from '../types.js';
import type { OciCli } from './cli.js';
import { OutputPipe } from './output-pipe.js';
import type { OciProcess } from './spec.js';
import { exitOf, pidWhenStarted } from './started-process.js';

const outputLimit = 1024 * 1024;

/**
 * Run `process` in container `id` and wait for its end; on abort it is killed. Files go into `dir`
 * under names that begin with `name`.
 * @returns exit code and the last 1 MiB each of stdout and stderr.
 */
export async function execInOciContainer(
  cli: OciCli,
  id: string,
  process: OciProcess,
  { dir, name, signal }: { dir: string; name: string; signal?: AbortSignal | undefined },
): Promise<ExecResult> {
  signal?.throwIfAborted();
  const file = (suffix: string) => join(dir, `${name}.${suffix}`);
  await writeFile(file('json'), JSON.stringify(process));
  const stdout = await OutputPipe.create(file('stdout'), outputLimit);
  const stderr = await OutputPipe.create(file('stderr'), outputLimit);
  const args = ['exec', '--process', file('json'), '--pid-file', file('pid'), id];
  const child = cli.start(args, file('log'), stdout.descriptor, stderr.descriptor);
  stdout.handOver();
  stderr.handOver();
  const exited = exitOf(child);
  exited.catch(() => undefined); // awaited below
  let abort: (() => void) | undefined;
  try {
    const pid = await pidWhenStarted(exited, file('pid'), file('log'), 'the command');
    const startTime = startTimeOf(pid);
    if (startTime !== undefined) abort = () => killSameProcess(pid, startTime);
    if (signal?.aborted) abort?.();
    if (abort) signal?.addEventListener('abort', abort, { once: true });
    const status = await exited;
    signal?.throwIfAborted();
    // A daemon that the command left behind may hold the pipes open: what is there now is enough.
    await Promise.race([
      Promise.all([stdout.ended, stderr.ended]),
      new Promise((resolve) => setTimeout(resolve, 100)),
    ]);
    return { ...status, stdout: stdout.toString(), stderr: stderr.toString() };
  } finally {
    if (abort) signal?.removeEventListener('abort', abort);
    stdout.close();
    stderr.close();
  }
}
