import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { DebloatError, ExitCode } from '../../analyzer/errors.js';
import { defaultCacheDirectory } from '../../attacher/guest/index.js';
import {
  attachDisk,
  describePlan,
  exclusively,
  preparePlan,
  type AttachedDisk,
} from '../../attacher/hijack/index.js';
import { openVirtualMachine } from '../../attacher/hypervisor/index.js';
import { parseTarget } from '../../attacher/targets.js';
import { openDisk, type DiskOptions } from '../../attacher/virtio/disk/open-disk.js';
import { attachToContainer, type SessionArguments } from '../container-session.js';
import { abortOnSignals } from '../interrupt.js';
import { addCommonOptions, option, wholeNumber, type CommonOptions } from '../options.js';
import { attachToVm, type VmSessionArguments } from '../vm-session.js';

interface AttachOptions extends SessionArguments, VmSessionArguments {
  diskOnly?: boolean;
  cow?: true | string;
  serial?: string;
  session?: string;
  loadDrivers?: boolean;
  dryRun?: boolean;
}

/**
 * `debloat attach TARGET -- COMMAND`: a command in a running VM or container that sees the original
 * image; with `--disk-only VM IMAGE` an image as a disk, in a VM that was never prepared for it.
 */
export function attachCommand(): Command {
  // Not by variables of the environment: DEBLOAT_OVERLAY, DEBLOAT_EXEC are what `build` reads.
  const command = new Command('attach')
    .description('run a command in what runs here, with the original image’s files')
    .argument('<target>', 'a VM: PID or qemu://PID; docker://NAME, podman://NAME, container://PID')
    .argument('[words...]', 'after --: the command (default: a shell); with --disk-only the image')
    .addOption(
      new Option('--overlay <file>', 'the overlay (default: that of the image, where it is found)'),
    )
    .addOption(new Option('--exec <command>', 'run this by sh, and print what it wrote and its code'))
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
      option('--container <pid>', 'join the namespaces of this process of the guest').argParser(
        wholeNumber(1),
      ),
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
    .addOption(option('--dry-run', 'say what would be done, and touch nothing'));
  return addCommonOptions(command).action(attach);
}

async function attach(text: string, words: string[], options: AttachOptions): Promise<void> {
  const target = parseTarget(text);
  if (target.kind !== 'vm') {
    if (options.diskOnly) throw usage('--disk-only is for virtual machines');
    return attachToContainer(target, text, words, options);
  }
  if (options.session !== undefined && !/^[0-9a-z-]{1,32}$/.test(options.session)) {
    throw usage('a session’s name is of up to 32 of a–z, 0–9 and -');
  }
  if (!options.diskOnly) return attachToVm(target.pid, words, options);
  const [image, ...more] = words;
  if (image === undefined || more.length > 0) throw usage('--disk-only wants one image');
  return attachDiskOnly(target.pid, image, options);
}

function usage(message: string): DebloatError {
  return new DebloatError(message, { exitCode: ExitCode.usage });
}

async function attachDiskOnly(pid: number, image: string, options: AttachOptions): Promise<void> {
  const disk = diskOptions(image, options);
  openDisk(disk).close(); // what is wrong with the image is said before the VM is touched
  const tell = (line: string) => {
    if (options.quiet !== true) process.stderr.write(`${line}\n`);
  };
  using machine = openVirtualMachine(pid);
  const begun = performance.now();
  if (options.dryRun) {
    const plan = preparePlan(machine, { cacheDirectory: defaultCacheDirectory() });
    const lines = describePlan(plan, machine);
    const text = lines.map((line, n) => `${n + 1}. ${line}\n`).join('');
    process.stdout.write(options.format === 'json' ? `${JSON.stringify(lines)}\n` : text);
    return;
  }
  const signal = abortOnSignals();
  const serial = options.serial ?? basename(image).slice(0, 20);
  let prepared = 0;
  const attached = await exclusively(machine.pid, async () => {
    const plan = preparePlan(machine, { cacheDirectory: defaultCacheDirectory() });
    prepared = performance.now() - begun;
    signal.throwIfAborted();
    return attachDisk(machine, plan, {
      ...{ disk, serial, log: tell, loadDrivers: options.loadDrivers ?? false },
      id: options.session,
    });
  });
  const times = { prepare: prepared, ...attached.times, total: performance.now() - begun };
  process.stdout.write(render(attached, { serial, times }, options.format));
  tell(`serving ${image}; Ctrl-C or \`debloat detach ${attached.id}\` takes it away`);
  await untilToldTo(signal, attached);
  await end(attached, machine.pid, tell);
}

/** Resolves when we are told to end, or the hypervisor has. */
async function untilToldTo(signal: AbortSignal, attached: AttachedDisk): Promise<void> {
  if (signal.aborted) return;
  await Promise.race([
    attached.ended,
    new Promise((resolve) => {
      signal.addEventListener('abort', resolve, { once: true });
    }),
  ]);
}

async function end(
  attached: AttachedDisk,
  pid: number,
  tell: (line: string) => void,
): Promise<void> {
  const gone = await Promise.race([attached.ended, Promise.resolve(undefined)]);
  if (gone !== undefined) {
    tell(`the virtual machine ${pid} has ended`);
    return;
  }
  const { statistics } = await exclusively(pid, () => attached.detach());
  const { reads, writes, failures } = statistics;
  tell(
    `detached: ${reads} reads, ${writes} writes, ${failures} failed; ` +
      `stopped for ${attached.attachment.target.stopped.toFixed(1)} ms`,
  );
}

function diskOptions(image: string, { cow }: AttachOptions): DiskOptions {
  const sessionFile = typeof cow === 'string' ? cow : undefined;
  return { image, mode: cow ? 'session' : 'read-only', preload: false, sessionFile };
}

function render(
  { id }: AttachedDisk,
  facts: { serial: string; times: Record<'prepare' | 'stopped' | 'guest' | 'total', number> },
  format: CommonOptions['format'],
): string {
  const { serial, times } = facts;
  const rounded = Object.fromEntries(
    Object.entries(times).map(([name, value]) => [name, Math.round(value * 100) / 100]),
  );
  if (format === 'json') {
    return `${JSON.stringify({ session: id, serial, milliseconds: rounded })}\n`;
  }
  const { prepare, stopped, guest, total } = times;
  return (
    `session ${id}: in the guest, the disk with serial "${serial}" (lsblk -o NAME,SERIAL)\n` +
    `prepared in ${prepare.toFixed(0)} ms, stopped for ${stopped.toFixed(1)} ms, ` +
    `the guest took ${guest.toFixed(0)} ms, ${total.toFixed(0)} ms in all\n`
  );
}
