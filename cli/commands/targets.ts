import { Command } from 'commander';
import { listContainers } from '../../attacher/container/list.js';
import { findVirtualMachines } from '../../attacher/hypervisor/index.js';
import { addCommonOptions, type CommonOptions } from '../options.js';
import { renderTable } from '../render-table.js';

interface ListedTarget {
  target: string;
  kind: 'vm' | 'container';
  /** Hypervisor or image. */
  what: string;
  /** How to attach, or what is missing for it. */
  how: string;
}

/** `debloat targets`: what can be attached to on this machine. */
export function targetsCommand(): Command {
  return addCommonOptions(new Command('targets'))
    .description('list the virtual machines and containers here that can be attached to')
    .action(async (options: CommonOptions) => {
      const targets = [...machines(), ...(await containers())];
      process.stdout.write(
        options.format === 'json' ? `${JSON.stringify(targets)}\n` : table(targets),
      );
    });
}

function machines(): ListedTarget[] {
  return findVirtualMachines().map(({ pid, name, vcpus }) => ({
    target: `qemu://${pid}`,
    kind: 'vm',
    what: vcpus === undefined ? name : `${name}, ${vcpus} vCPU${vcpus === 1 ? '' : 's'}`,
    how:
      vcpus === undefined
        ? 'needs root or CAP_SYS_PTRACE'
        : `\`debloat inspect ${pid}\` says what can be done`,
  }));
}

async function containers(): Promise<ListedTarget[]> {
  return (await listContainers()).map(({ target, image, overlay }) => ({
    ...{ target, kind: 'container', what: image },
    how: overlay === undefined ? 'not debloated: needs --overlay FILE' : `overlay ${overlay}`,
  }));
}

function table(targets: ListedTarget[]): string {
  if (targets.length === 0) return 'nothing here can be attached to\n';
  const rows = targets.map(({ target, what, how }) => [target, what, how]);
  return renderTable([['TARGET', 'WHAT', 'HOW'], ...rows]);
}
