import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { DebloatError, ExitCode } from '../../analyzer/errors.js';
import { listSessions, type ListedSession } from '../../attacher/list-sessions.js';
import { addCommonOptions, option, type CommonOptions } from '../options.js';

/** How long the process that serves a session may take to end it, in milliseconds. */
const patience = 240_000;

/** `debloat detach SESSION | --all`: end sessions, and what killed ones left in a VM. */
export function detachCommand(): Command {
  const command = new Command('detach')
    .description('end a session: take it out of its virtual machine or container again')
    .argument('[session]', 'as `debloat sessions` names it')
    .addOption(option('--all', 'every session on this machine'));
  return addCommonOptions(command).action(
    async (id: string | undefined, options: CommonOptions & { all?: boolean }) => {
      if ((id === undefined) !== (options.all === true)) {
        throw new DebloatError('name one session, or say --all', { exitCode: ExitCode.usage });
      }
      const sessions = listSessions().filter((each) => options.all === true || each.id === id);
      if (sessions.length === 0 && id !== undefined) {
        throw new DebloatError(`there is no session ${id}`, {
          hint: '`debloat sessions` lists those that there are; it may have ended by itself',
        });
      }
      const tell = (line: string) => {
        if (options.quiet !== true) process.stderr.write(`${line}\n`);
      };
      for (const session of sessions) await detach(session, tell);
      const ids = sessions.map((each) => each.id);
      process.stdout.write(
        options.format === 'json'
          ? `${JSON.stringify({ detached: ids })}\n`
          : ids.map((each) => `${each}\n`).join(''),
      );
    },
  );
}

/** End one session, through the process that holds it where that lives. */
export async function detach(session: ListedSession, tell: (line: string) => void): Promise<void> {
  if (session.owner !== undefined) {
    process.kill(session.owner, 'SIGTERM');
    if (await hasEnded(session, session.owner)) return;
  }
  await session.takeOut(tell);
}

/** Whether the session is gone when its process has ended; that may fail to take it out. */
async function hasEnded({ target, id }: ListedSession, owner: number): Promise<boolean> {
  const end = performance.now() + patience;
  for (;;) {
    const found = listSessions().find((each) => each.id === id && each.target === target);
    if (found === undefined) return true;
    if (found.owner === undefined) return false;
    if (performance.now() > end) {
      throw new DebloatError(`session ${id} did not end`, {
        hint: `process ${owner} holds it: see what it says`,
      });
    }
    await sleep(50);
  }
}
