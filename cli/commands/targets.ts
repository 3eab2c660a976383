import { Command } from 'commander';
import { listTargets, type ListedTarget } from '../../attacher/list-targets.js';
import { addCommonOptions, type CommonOptions } from '../options.js';
import { renderTable } from '../render-table.js';

/** `debloat targets`: what can be attached to on this machine. */
export function targetsCommand(): Command {
  return addCommonOptions(new Command('targets'))
    .description('list the virtual machines and containers here that can be attached to')
    .action(async (options: CommonOptions) => {
      const targets = await listTargets();
      process.stdout.write(
        options.format === 'json' ? `${JSON.stringify(targets)}\n` : table(targets),
      );
    });
}

function table(targets: ListedTarget[]): string {
  if (targets.length === 0) {
    return process.geteuid?.() === 0
      ? 'nothing here can be attached to\n'
      : 'nothing here can be attached to by this user; root may see more\n';
  }
  const rows = targets.map(({ target, name, what, how }) => [
    target,
    name === undefined ? what : `${name}: ${what}`,
    how,
  ]);
  return renderTable([['TARGET', 'WHAT', 'HOW'], ...rows]);
}
