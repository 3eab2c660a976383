import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { DebloatError, ExitCode } from '../../analyzer/errors.js';
import { defaultCacheDirectory } from '../../attacher/guest/index.js';
import { requiredImports } from '../../attacher/guest/linker/link.js';
import { inspect } from '../../attacher/inspect/inspect.js';
import { renderInspection, serializeInspection } from '../../attacher/inspect/render.js';
import { guestStagePath } from '../../native/guest-stage.js';
import { addCommonOptions, type CommonOptions } from '../options.js';

/** `debloat inspect PID`: a virtual machine, and whether a disk can be attached to it. */
export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('look into a running virtual machine, and say whether a disk can be attached')
    .argument('<vm>', 'process of its hypervisor: PID or qemu://PID');
  return addCommonOptions(command).action((vm: string, options: CommonOptions) => {
    const inspection = inspect(processOf(vm), {
      cacheDirectory: defaultCacheDirectory(),
      neededSymbols: neededSymbols(),
    });
    process.stdout.write(
      options.format === 'json' ? serializeInspection(inspection) : renderInspection(inspection),
    );
    if (inspection.obstacles.length > 0) process.exitCode = ExitCode.failure;
  });
}

/** The process that `vm` names. */
export function processOf(vm: string): number {
  const pid = Number(/^(?:qemu:\/\/)?([1-9]\d{0,9})$/.exec(vm)?.[1]);
  if (Number.isSafeInteger(pid) && pid < 2 ** 31) return pid;
  throw new DebloatError(`"${vm}" names no process`, {
    hint: 'a virtual machine is named by its hypervisor’s process: 1234 or qemu://1234',
    exitCode: ExitCode.usage,
  });
}

/** What the guest stage cannot do without. */
function neededSymbols(): string[] {
  const path = guestStagePath();
  if (path === undefined) return [];
  return requiredImports(readFileSync(path))
    .filter(({ weak }) => !weak)
    .map(({ name }) => name);
}
