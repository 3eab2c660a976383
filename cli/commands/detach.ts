import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { DebloatError, ExitCode } from '../../analyzer/errors.js';
import {
  allSessions,
  exclusively,
  recoverSession,
  type FoundSession,
} from '../../attacher/hijack/index.js';
import { openVirtualMachine } from '../../attacher/hypervisor/index.js';
import { addCommonOptions, option, type CommonOptions } from '../options.js';

/** How long the process that serves a session may take to end it, in milliseconds. */
const patience = 240_000;

/** `debloat detach SESSION | --all`: end sessions, and what killed ones left in a VM. */
export function detachCommand(): Command {
  const command = new Command('detach')
    .description('end a session: take its disk out of the virtual machine again')
    .argument('[session]', 'as `debloat sessions` names it')
    .addOption(option('--all', 'every session on this machine'));
  return addCommonOptions(command).action(
    async (id: string | undefined, options: CommonOptions & { all?: boolean }) => {
      if ((id === undefined) !== (options.all === true)) {
        throw new DebloatError('name one session, or say --all', { exitCode: ExitCode.usage });
      }
      const sessions = allSessions().filter((each) => options.all === true || each.id === id);
      if (sessions.length === 0 && id !== undefined) {
        throw new DebloatError(`there is no session ${id}`, { hint: 'debloat sessions' });
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

/** End one session, through the process that serves it where that lives. */
export async function detach(session: FoundSession, tell: (line: string) => void): Promise<void> {
  const { pid, id, record, alive } = session;
  if (alive && record !== undefined) {
    process.kill(record.owner.pid, 'SIGTERM');
    if (await hasEnded(session, record.owner.pid)) return;
  }
  using machine = openVirtualMachine(pid);
  await exclusively(pid, () => recoverSession(machine, id, { log: tell }));
}

/** Whether the session is gone when its process has ended; that may fail to take it out. */
async function hasEnded({ pid, id }: FoundSession, owner: number): Promise<boolean> {
  const end = performance.now() + patience;
  for (;;) {
    const found = allSessions().find((each) => each.id === id && each.pid === pid);
    if (found === undefined) return true;
    if (!found.alive) return false;
    if (performance.now() > end) {
      throw new DebloatError(`session ${id} did not end`, {
        hint: `process ${owner} serves it: see what it says`,
      });
    }
    await sleep(50);
  }
}
