import { Command } from 'commander';
import { listSessions, type ListedSession } from '../../attacher/list-sessions.js';
import { addCommonOptions, type CommonOptions } from '../options.js';
import { renderTable } from '../render-table.js';

/** `debloat sessions`: what is attached to the virtual machines and containers of this machine. */
export function sessionsCommand(): Command {
  return addCommonOptions(new Command('sessions'))
    .description('list what is attached to the virtual machines and containers here')
    .action((options: CommonOptions) => {
      const sessions = listSessions();
      process.stdout.write(
        options.format === 'json' ? `${JSON.stringify(sessions.map(facts))}\n` : text(sessions),
      );
    });
}

function facts({ id, target, image, way, owner }: ListedSession) {
  return {
    ...{ session: id, target, image: image ?? null, way },
    ...{ state: owner === undefined ? 'left behind' : 'attached', servedBy: owner ?? null },
  };
}

function text(sessions: ListedSession[]): string {
  if (sessions.length === 0) return 'no sessions\n';
  const rows = sessions.map(({ id, target, way, image, owner }) => {
    return [
      id,
      target,
      way,
      image ?? '–',
      owner === undefined ? 'left behind' : `process ${owner}`,
    ];
  });
  return renderTable([['SESSION', 'TARGET', 'BY', 'IMAGE', 'SERVED BY'], ...rows]);
}
