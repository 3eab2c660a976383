import { Command, Option } from 'commander';
import { DebloatError, ExitCode } from '../../analyzer/errors.js';
import { parseTarget, type Target } from '../../attacher/targets.js';
import { attachToAll } from '../attach-all.js';
import { attachDiskOnly } from '../attach-disk.js';
import { attachToContainer, type ContainerSessionArguments } from '../container-session.js';
import type { DiskArguments } from '../disk-arguments.js';
import { guestContainer } from '../guest-container.js';
import { addCommonOptions, option, wholeNumber } from '../options.js';
import { attachToVm, type VmSessionArguments } from '../vm-session.js';

interface AttachOptions extends ContainerSessionArguments, VmSessionArguments, DiskArguments {
  diskOnly?: boolean;
  all?: string;
  jobs?: number;
}

/**
 * `debloat attach TARGET -- COMMAND`: a command in a running VM or container that sees the original
 * image; with `--disk-only VM IMAGE` an image as a disk, in a VM that was never prepared for it.
 */
export function attachCommand(): Command {
  // Not by variables of the environment: DEBLOAT_OVERLAY, DEBLOAT_EXEC are what `build` reads.
  const command = new Command('attach')
    .description('run a command in what runs here, with the original image’s files')
    .argument('[target]', 'a VM: PID or qemu://PID; docker://NAME, podman://NAME, container://PID')
    .argument('[words...]', 'after --: the command (default: a shell); with --disk-only the image')
    .addOption(
      new Option('--overlay <file>', 'the overlay (default: that of the image, where it is found)'),
    )
    .addOption(
      new Option('--exec <command>', 'run this by sh, and print what it wrote and its code'),
    )
    .addOption(
      new Option('-e, --env <name=value>', 'set in the command’s environment').argParser(
        (value: string, before: string[] | undefined) => [...(before ?? []), value],
      ),
    )
    .addOption(new Option('--cwd <dir>', 'where the command starts (default: as the application)'))
    .addOption(new Option('-u, --user <user>', 'user (and group) of the command (default: root)'))
    .addOption(option('--insecure', 'fetch the overlay over HTTP or unverified TLS'))
    .addOption(option('--authfile <file>', 'registry credentials to fetch the overlay with'))
    .addOption(option('--gdb <address>', 'gdb stub of the hypervisor: SOCKET or HOST:PORT'))
    .addOption(option('--qmp <address>', 'QEMU’s monitor: SOCKET or HOST:PORT'))
    .addOption(
      option(
        '--container <name>',
        'join the namespaces of this container in the guest: its name, its ID or a PID there',
      ).argParser(guestContainer),
    )
    .addOption(
      option('--disk-only', 'an image as a disk alone, to mount in the guest, until Ctrl-C'),
    )
    .addOption(
      option(
        '--cow [file]',
        'the guest can write, and the image stays as it is: writes vanish at the end, or stay in <file>',
      ),
    )
    .addOption(option('--serial <text>', 'the disk’s serial in the guest, up to 20 bytes'))
    .addOption(option('--session <name>', 'what the session is called (default: a new name)'))
    .addOption(
      option('--load-drivers', 'have the guest’s modprobe load virtio_mmio and virtio_blk'),
    )
    .addOption(
      option('--modules <dir>', 'load drivers that a VM’s kernel lacks: its /lib/modules/VERSION'),
    )
    .addOption(
      new Option('--all <pattern>', 'run --exec in all that match: qemu://GLOB, docker://GLOB, …'),
    )
    .addOption(
      option('--jobs <number>', 'targets of --all at a time (default: 4)').argParser(
        wholeNumber(1),
      ),
    )
    .addOption(option('--dry-run', 'say what would be done, and touch nothing'));
  return addCommonOptions(command).action(attach);
}

async function attach(
  text: string | undefined,
  words: string[],
  options: AttachOptions,
  command: Command,
): Promise<void> {
  const isGiven = (name: string) => command.getOptionValueSource(name) === 'cli';
  // From the environment or a configuration file it is for when no target is named.
  if (options.all !== undefined && (text === undefined || isGiven('all'))) {
    if (text !== undefined) throw usage('--all and a target exclude each other');
    return attachToAll(options.all, options.jobs ?? 4, wordsForEach(options), options);
  }
  // From the environment or a configuration file it is for any --all to come.
  if (isGiven('jobs')) throw usage('--jobs goes with --all');
  if (text === undefined) {
    throw usage('which target? Give one, or --all PATTERN; `debloat targets` lists them');
  }
  const target = parseTarget(text);
  if (options.session !== undefined && !/^[0-9a-z-]{1,32}$/.test(options.session)) {
    throw usage('a session’s name is of up to 32 of a–z, 0–9 and -');
  }
  refuseMisplaced(target, options);
  if (target.kind !== 'vm') {
    return attachToContainer(target, text, words, options);
  }
  if (!options.diskOnly) return attachToVm(target.pid, text, words, options);
  const [image, ...more] = words;
  if (image === undefined || more.length > 0) throw usage('--disk-only wants one image');
  return attachDiskOnly(target.pid, image, options);
}

/** The options of `--all` as words for the command of each target. */
function wordsForEach(options: AttachOptions): string[] {
  if (options.exec === undefined) throw usage('--all wants --exec COMMAND');
  const ofOne = (
    ['diskOnly', 'gdb', 'qmp', 'session', 'cow', 'serial', 'loadDrivers', 'dryRun'] as const
  ).find((name) => options[name] !== undefined);
  if (ofOne) throw usage(`${dashed(ofOne)} and --all exclude each other`);
  const single = (['overlay', 'exec', 'cwd', 'user', 'container', 'modules', 'authfile'] as const)
    .map((name) => [name, options[name]] as const)
    .flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)]));
  return [
    ...single,
    ...(options.env ?? []).flatMap((each) => ['--env', each]),
    ...(['insecure', 'quiet', 'debug'] as const).flatMap((name) =>
      options[name] === true ? [`--${name}`] : [],
    ),
  ];
}

const dashed = (name: string) => `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;

/** An option that would do nothing here is a mistake that its user wants to hear of. */
function refuseMisplaced(target: Target, options: AttachOptions): void {
  const given = (names: readonly (keyof AttachOptions)[]) =>
    names.find((name) => options[name] !== undefined);
  const ofDisks = given(['cow', 'serial', 'loadDrivers', 'dryRun']);
  if (ofDisks && !options.diskOnly) throw usage(`${dashed(ofDisks)} goes with --disk-only`);
  const ofMachines = given(['diskOnly', 'gdb', 'qmp', 'container', 'modules']);
  if (ofMachines && target.kind !== 'vm') {
    throw usage(`${dashed(ofMachines)} is for virtual machines`);
  }
  const ofSessions = given(['overlay', 'exec', 'env', 'cwd', 'user', 'gdb', 'qmp', 'container']);
  if (ofSessions && options.diskOnly)
    throw usage(`${dashed(ofSessions)} and --disk-only exclude each other`);
}

function usage(message: string): DebloatError {
  return new DebloatError(message, { exitCode: ExitCode.usage });
}
