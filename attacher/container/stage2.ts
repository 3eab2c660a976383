import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { DebloatError } from '../../analyzer/errors.js';
import { sessionProgramPath } from '../../native/guest-stage.js';
import { streamChannel, type Channel } from '../session/channel.js';

/** The descriptor that stage 2 is told to speak by. */
const descriptor = 3;

/** Stage 2 as a process of this machine. When we die, its socket ends, and with that all of it. */
export interface LocalStage2 {
  readonly channel: Channel;
  /** When its process, and so its mounts, have gone. */
  readonly ended: Promise<unknown>;
}

/** Start stage 2; throws a DebloatError if it cannot be. */
export async function startStage2(): Promise<LocalStage2> {
  const program = sessionProgramPath();
  if (program === undefined) {
    throw new DebloatError('Stage 2 is missing from this installation.', { hint: 'npm run build' });
  }
  const child = spawn(program, [String(descriptor)], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    // Its own session: Ctrl-C at our terminal is for us to pass on.
    ...{ detached: true, env: {}, cwd: '/' },
  });
  const ended = once(child, 'exit');
  ended.catch(() => undefined); // where it did not start
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new DebloatError('Stage 2 could not be started.', { cause: error });
  }
  return { channel: streamChannel(child.stdio[descriptor] as Duplex), ended };
}
