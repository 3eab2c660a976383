import { basename } from 'node:path';
import { Command } from 'commander';
import { DebloatError, ExitCode } from '../../analyzer/errors.js';
import { bytes } from '../../analyzer/report/format.js';
import type { Counter } from '../../attacher/virtio/block/statistics.js';
import type { DiskOptions } from '../../attacher/virtio/disk/open-disk.js';
import { Server } from '../../attacher/virtio/server/server.js';
import { abortOnSignals } from '../interrupt.js';
import { addCommonOptions, option, wholeNumber, type CommonOptions } from '../options.js';

interface ServeOptions extends CommonOptions {
  socket: string;
  cow?: true | string;
  readOnly?: boolean;
  preload?: boolean;
  queues: number;
  serial?: string;
}

/** The most queues a client may have: as many as there are bits to name them by. */
const mostQueues = 64;

/** `debloat serve IMAGE`: an image as a disk for virtual machines. */
export function serveCommand(): Command {
  const command = new Command('serve')
    .description('serve an image file as a disk to a virtual machine (vhost-user)')
    .argument('<image>', 'image file: squashfs, erofs, ext4 or any raw disk')
    .addOption(option('--socket <path>', 'Unix socket to listen at').makeOptionMandatory())
    .addOption(option('--read-only', 'the guest cannot write').conflicts('cow'))
    .addOption(
      option(
        '--cow [file]',
        'the guest can write, and the image stays as it is: writes vanish at the end, or stay in <file>',
      ),
    )
    .addOption(
      option('--preload', 'with --read-only: hold the whole image in memory, for the most speed'),
    )
    .addOption(
      option('--queues <number>', 'queues that a client may use')
        .argParser(wholeNumber(1))
        .default(1),
    )
    .addOption(option('--serial <text>', 'the disk’s serial in the guest, up to 20 bytes'));
  return addCommonOptions(command).action(serve);
}

async function serve(image: string, options: ServeOptions): Promise<void> {
  const disk = diskOptions(image, options);
  if (options.queues > mostQueues) throw usage(`--queues can be ${mostQueues} at most`);
  const tell = (line: string) => {
    if (options.quiet !== true) process.stderr.write(`${line}\n`);
  };
  const signal = abortOnSignals();
  const server = await Server.start({
    disk,
    socket: options.socket,
    queues: options.queues,
    id: options.serial ?? basename(image),
    log: tell,
  });
  const print = () => process.stdout.write(render(server.statistics(), options.format));
  process.on('SIGUSR1', print);
  const stop = () => server.stop();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  const { size, readOnly, engine } = server.facts;
  tell(
    `serving ${image} (${bytes(size)}, ${readOnly ? 'read-only' : disk.mode}, ${engine}) at ${options.socket}`,
  );
  await server.ended;
  process.off('SIGUSR1', print);
  print();
}

function diskOptions(image: string, options: ServeOptions): DiskOptions {
  const mode = options.readOnly ? 'read-only' : options.cow ? 'session' : 'writable';
  if (options.preload && mode !== 'read-only') throw usage('--preload needs --read-only');
  const sessionFile = typeof options.cow === 'string' ? options.cow : undefined;
  return { image, mode, preload: options.preload ?? false, sessionFile };
}

function usage(message: string): DebloatError {
  return new DebloatError(message, { exitCode: ExitCode.usage });
}

function render(counted: Record<Counter, number>, format: CommonOptions['format']): string {
  if (format === 'json') return `${JSON.stringify(counted)}\n`;
  const { reads, readBytes, writes, writtenBytes, flushes, discards, failures } = counted;
  const { violations, notifications, interrupts, connections } = counted;
  return (
    `reads ${reads} (${bytes(readBytes)}), writes ${writes} (${bytes(writtenBytes)}), ` +
    `flushes ${flushes}, discards ${discards}, failed ${failures}, queues stopped ${violations}; ` +
    `notifications ${notifications}, interrupts ${interrupts}, clients ${connections}\n`
  );
}
