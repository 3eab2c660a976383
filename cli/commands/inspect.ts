import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { ExitCode } from '../../analyzer/errors.js';
import { defaultCacheDirectory } from '../../attacher/guest/index.js';
import { requiredImports } from '../../attacher/guest/linker/link.js';
import { exclusively } from '../../attacher/hijack/index.js';
import { inspect } from '../../attacher/inspect/inspect.js';
import { renderInspection, serializeInspection } from '../../attacher/inspect/render.js';
import { guestStagePath } from '../../native/guest-stage.js';
import { addCommonOptions, type CommonOptions } from '../options.js';
import { processOf } from '../vm-argument.js';

/** `debloat inspect PID`: a virtual machine, and whether a disk can be attached to it. */
export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('look into a running virtual machine, and say whether a disk can be attached')
    .argument('<vm>', 'process of its hypervisor: PID or qemu://PID');
  return addCommonOptions(command).action(async (vm: string, options: CommonOptions) => {
    const pid = processOf(vm);
    const needs = { cacheDirectory: defaultCacheDirectory(), neededSymbols: neededSymbols() };
    const inspection = await exclusively(pid, () => inspect(pid, needs));
    process.stdout.write(
      options.format === 'json' ? serializeInspection(inspection) : renderInspection(inspection),
    );
    if (inspection.obstacles.length > 0) process.exitCode = ExitCode.failure;
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
