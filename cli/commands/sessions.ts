import { Command } from 'commander';
import { allSessions, type FoundSession } from '../../attacher/hijack/index.js';
import { addCommonOptions, type CommonOptions } from '../options.js';

/** `debloat sessions`: what is attached to the virtual machines of this machine. */
export function sessionsCommand(): Command {
  return addCommonOptions(new Command('sessions'))
    .description('list what is attached to the virtual machines here')
    .action((options: CommonOptions) => {
      const sessions = allSessions();
      process.stdout.write(
        options.format === 'json' ? `${JSON.stringify(sessions.map(facts))}\n` : table(sessions),
      );
    });
}

function facts({ pid, id, record, alive }: FoundSession) {
  return {
    session: id,
    vm: pid,
    image: record?.image ?? null,
    state: alive ? 'attached' : 'left behind',
    servedBy: alive ? (record?.owner.pid ?? null) : null,
  };
}

function table(sessions: FoundSession[]): string {
  if (sessions.length === 0) return 'no sessions\n';
  const rows = sessions.map((each) => {
    const { session, vm, image, state, servedBy } = facts(each);
    return [session, `${vm}`, image ?? '–', servedBy === null ? state : `process ${servedBy}`];
  });
  const all = [['SESSION', 'VM', 'IMAGE', 'SERVED BY'], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map(
      (row) =>
        `${row
          .map((cell, n) => cell.padEnd(widths[n] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
