import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeInitramfs } from './initramfs.js';
import { kernelOf } from './kernel.js';
import { Qmp, QemuEnded } from './qmp.js';

/** Modules that a guest needs for a virtio disk with squashfs or ext4; built in where they are not files. */
const usualModules = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'squashfs', 'ext4'];

export interface GuestDisk {
  socket: string;
  queues?: number;
}

type Control = (qmp: Qmp, printed: (text: string) => Promise<void>) => Promise<void>;

export interface GuestOptions {
  /** Debian suite whose kernel runs. */
  suite: string;
  /** What the guest does, in busybox's shell; disks are /dev/vda and so on, in their order. */
  script: string;
  disks: GuestDisk[];
  /** An empty directory for what it needs. */
  directory: string;
  cpus?: number;
  /** Modules that the kernel is to have beside those for disks, squashfs and ext4. */
  modules?: string[];
  /** Acts on the machine until it is off; `printed` waits until the guest has printed a text. */
  control?: Control;
  /** Called with all that the guest has printed, whenever it prints. */
  onOutput?: (output: string) => void;
}

/** A Debian kernel under QEMU without KVM, its memory shared; resolves with its console's output when it is off. */
export async function runGuest(options: GuestOptions): Promise<string> {
  const { suite, script, disks, directory, cpus = 1, modules = [], control } = options;
  const kernel = kernelOf(suite);
  const initramfs = join(directory, 'initramfs');
  const whole = `${script}\necho guest-test-ended\npoweroff -f\n`;
  writeFileSync(
    initramfs,
    makeInitramfs({ kernel, modules: [...usualModules, ...modules], script: whole }),
  );
  const monitor = join(directory, 'qmp');
  const devices = disks.flatMap(({ socket, queues = 1 }, n) => [
    '-chardev',
    `socket,id=disk${n},path=${socket},reconnect=1`,
    '-device',
    `vhost-user-blk-pci,chardev=disk${n},num-queues=${queues},addr=${n + 4}`,
  ]);
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      ...[
        '-accel',
        'tcg',
        '-m',
        '512',
        '-smp',
        `${cpus}`,
        '-nographic',
        '-no-reboot',
        '-nodefaults',
      ],
      ...['-serial', 'stdio', '-nic', 'none', '-cpu', 'max'],
      ...[
        '-object',
        'memory-backend-memfd,id=memory,size=512M,share=on',
        '-machine',
        'memory-backend=memory',
      ],
      ...['-kernel', join(kernel, 'vmlinuz'), '-initrd', initramfs],
      ...['-append', 'console=ttyS0 panic=-1 quiet'],
      ...devices,
      ...(control ? ['-qmp', `unix:${monitor},server=on,wait=off`] : []),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  const collect = (chunk: Buffer) => {
    output += chunk.toString();
    options.onOutput?.(output);
  };
  qemu.stdout.on('data', collect);
  qemu.stderr.on('data', collect);
  const limit = setTimeout(() => qemu.kill('SIGKILL'), 240_000);
  const ended = new Promise<void>((resolve, reject) => {
    qemu.once('error', reject);
    qemu.once('close', () => resolve());
  });
  const printed = async (text: string) => {
    while (!output.includes(text)) await once(qemu.stdout, 'data');
  };
  try {
    if (control) await Promise.race([ended, act(control, monitor, printed)]);
    await ended;
  } finally {
    clearTimeout(limit);
    qemu.kill('SIGKILL');
  }
  if (!output.includes('guest-test-ended')) throw new Error(`the guest did not end:\n${output}`);
  return output.replaceAll('\r', '');
}

async function act(
  control: Control,
  monitor: string,
  printed: (text: string) => Promise<void>,
): Promise<void> {
  const qmp = await Qmp.connect(monitor);
  try {
    await control(qmp, printed);
  } catch (error) {
    // The guest may be off before the last answer; whether it did all is told by its output.
    if (!(error instanceof QemuEnded)) throw error;
  } finally {
    qmp.close();
  }
}
