import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type Docker from 'dockerode';
import { TailBuffer } from '../tail-buffer.js';
import type { ExecResult } from '../types.js';
import { engineFailure } from './failure.js';
import { demultiplex } from './stream.js';

const outputLimit = 1024 * 1024;

/**
 * Run `argv` in a running container and wait for its end. On abort the command goes on inside until
 * the container stops: engines have no way to end it.
 * @returns exit code and the last 1 MiB each of stdout and stderr.
 */
export async function execInContainer(
  docker: Docker,
  id: string,
  argv: string[],
  options: { user?: string; signal?: AbortSignal } = {},
): Promise<ExecResult> {
  const { user, signal: abortSignal } = options;
  const stdout = new TailBuffer(outputLimit);
  const stderr = new TailBuffer(outputLimit);
  try {
    abortSignal?.throwIfAborted();
    const exec = await docker.getContainer(id).exec({
      Cmd: argv,
      AttachStdout: true,
      AttachStderr: true,
      ...(user !== undefined && { User: user }),
      ...(abortSignal && { abortSignal }),
    });
    const stream: Duplex = await exec.start({
      Detach: false,
      Tty: false,
      ...(abortSignal && { abortSignal }),
    });
    const abort = () => void stream.destroy(new DOMException('aborted', 'AbortError'));
    abortSignal?.addEventListener('abort', abort, { once: true });
    try {
      await demultiplex(
        docker,
        stream,
        (chunk) => stdout.push(chunk),
        (chunk) => stderr.push(chunk),
      );
    } finally {
      abortSignal?.removeEventListener('abort', abort);
    }
    return {
      code: await exitCode(exec),
      stdout: stdout.toString(),
      stderr: stderr.toString(),
    };
  } catch (error) {
    abortSignal?.throwIfAborted();
    throw engineFailure(`run ${argv.at(-1) ?? 'a command'} in the container`, error);
  }
}

// The output may end a moment before the engine has seen the process end.
async function exitCode(exec: Docker.Exec): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    const { ExitCode, Running } = await exec.inspect();
    if (!Running && ExitCode !== null) return ExitCode;
    if (attempt === 100) throw new Error('its output has ended, but it has not');
    await delay(Math.min(10 * 2 ** attempt, 200));
  }
}
