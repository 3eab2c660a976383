import type { Command } from 'commander';
import { DebloatError, ExitCode } from '../analyzer/errors.js';
import { parseSize } from '../analyzer/report/budgets.js';
import type { DebloatRequest } from '../builder/debloat-image.js';
import { overlayFormats, type OverlayFormat } from '../builder/types.js';
import {
  cloudHypervisorCommand,
  firecrackerCommand,
  qemuCommand,
} from '../builder/vm/command-lines.js';
import type { VmDescription } from '../builder/vm/description.js';
import { option } from './options.js';

export interface VmOptions {
  vm?: string;
  vmRoot?: OverlayFormat;
  vmKernel?: string;
  vmModules?: string;
  vmSpace?: string;
}

const defaults = { root: 'squashfs', space: '64MB' } as const;

/** Options of the microVM that `debloat build` makes. */
export function addVmOptions(command: Command): Command {
  return command
    .addOption(option('--vm <dir>', 'also make a bootable microVM of the debloated image'))
    .addOption(
      option(
        '--vm-root <format>',
        `file system of its root disk (default: ${defaults.root}; ext4 keeps what is written to it)`,
      ).choices(overlayFormats),
    )
    .addOption(option('--vm-kernel <file>', 'its kernel: a bzImage or vmlinux'))
    .addOption(option('--vm-modules <dir>', 'modules of that kernel, as in /lib/modules/RELEASE'))
    .addOption(
      option('--vm-space <size>', `free space on an ext4 root disk (default: ${defaults.space})`),
    );
}

/** The microVM that the options ask for. Throws a DebloatError for options that have no effect. */
export function vmRequestFrom(options: VmOptions): DebloatRequest['vm'] {
  const { vm, vmRoot = defaults.root, vmKernel, vmModules, vmSpace } = options;
  if (vm === undefined) {
    const given = {
      '--vm-kernel': vmKernel,
      '--vm-modules': vmModules,
      '--vm-root': options.vmRoot,
    };
    const [lonely] = Object.entries({ ...given, '--vm-space': vmSpace }).flatMap(([name, value]) =>
      value === undefined ? [] : [name],
    );
    if (lonely === undefined) return undefined;
    throw usage(`${lonely} needs --vm`, 'say where the microVM goes: --vm DIR');
  }
  if (vmModules !== undefined && vmKernel === undefined) {
    throw usage('--vm-modules needs --vm-kernel', 'give the kernel that the modules belong to');
  }
  if (vmSpace !== undefined && vmRoot !== 'ext4') {
    throw usage(`a ${vmRoot} root disk has no free space`, 'use --vm-space with --vm-root ext4');
  }
  return {
    dir: vm,
    root: vmRoot,
    kernel: vmKernel,
    modules: vmModules,
    freeSpace: parseSize(vmSpace ?? defaults.space),
  };
}

/** Tell on stderr how to boot the microVM in `dir`: stdout carries the report alone. */
export function writeBootCommands(vm: VmDescription, dir: string): void {
  const lines = [
    '',
    `To boot the microVM, in ${dir}:`,
    ...(vm.kernel ? [] : ['(put the path of a kernel in place of KERNEL)']),
    '',
    qemuCommand(vm),
    '',
    cloudHypervisorCommand(vm),
    '',
    ...(vm.kernel?.kind === 'bzImage'
      ? ['(Firecracker takes no bzImage: unpack it with the kernel’s scripts/extract-vmlinux)']
      : []),
    firecrackerCommand,
    '',
  ];
  process.stderr.write(lines.map((line) => `${line}\n`).join(''));
}

function usage(message: string, hint: string): DebloatError {
  return new DebloatError(message, { hint, exitCode: ExitCode.usage });
}
