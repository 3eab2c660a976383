import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { cached, inTestCache } from './cache.js';
import { makeInitramfs } from './initramfs.js';
import { kernelOf, vmlinuxOf, type Suite } from './kernel.js';
import { machineArguments, type Machine } from './machine.js';
import { Qemu } from './qemu.js';

export interface KvmGuestOptions {
  /** Debian suite whose kernel runs. */
  suite: Suite;
  /** An empty directory for sockets and logs. */
  directory: string;
  /** MiB. */
  memory?: number;
  /** QEMU's machine type, with options if need be ("microvm,acpi=off"). */
  machine?: string;
  cpus?: number;
  /** Memory in a memfd, else anonymous. */
  sharedMemory?: boolean;
  /** Memory in pages of 2 MiB, of which the host must have enough. */
  hugePages?: boolean;
  /** Which parts of the interrupt controller KVM emulates: all, not PIC and IOAPIC, nothing. */
  irqchip?: 'on' | 'split' | 'off';
  /** QEMU under its seccomp filter, as libvirt starts it. */
  sandbox?: boolean;
  /** The QEMU to run. */
  qemu?: string;
  /** More kernel parameters. */
  append?: string;
  /** Kernel modules loaded, with what they depend on. */
  modules?: string[];
  /** What init does in busybox's shell when they are loaded. */
  script?: string;
}

/** What a virtio-mmio disk and its file systems need. */
export const diskModules = [
  'virtio_mmio',
  'virtio_blk',
  'squashfs',
  'overlay',
  'crc32c_generic',
  'ext4',
];

/** What KVM's emulator cannot do (cmpxchg16b, popcnt, xsave) is left out. */
const cpu = 'qemu64,-cx16,-svm,-xsave,-popcnt';

/** With a trusted TSC the slow guest does not condemn its clock, and slowness is not taken for a lock-up. */
const parameters =
  'console=ttyS0 panic=-1 mitigations=off noxsave tsc=reliable no_timer_check clocksource=tsc ' +
  'sysrq_always_enabled nowatchdog rcupdate.rcu_cpu_stall_suppress=1';

/**
 * A live Debian kernel under QEMU on /dev/kvm, for tests of what is done to a VM from outside.
 *
 * Where KVM has no VT-x or AMD-V under it, guest kernel code is emulated: too slow to boot, and user code
 * cannot enter the kernel. So the guest boots under TCG, loads its modules and blocks in pause(); its
 * state is saved (once, in the cache) and loaded into a QEMU with KVM. There timers, interrupts, kernel
 * threads and drivers are alive; no user code may run.
 */
export async function startKvmGuest(options: KvmGuestOptions): Promise<Qemu> {
  const { directory, qemu: program = 'qemu-system-x86_64' } = options;
  const kernel = kernelOf(options.suite);
  const initramfs = makeInitramfs({
    kernel,
    modules: options.modules ?? diskModules,
    script: `${options.script ?? ''}\nexec /pause\n`,
    files: new Map([['pause', pauseProgram(directory)]]),
  });
  const machine: Machine = {
    type: options.machine ?? 'pc',
    memory: options.memory ?? 256,
    cpus: options.cpus ?? 1,
    cpu,
    kernel: await vmlinuxOf(options.suite),
    initramfs: join(directory, 'initramfs'),
    append: `${parameters} ${options.append ?? ''}`,
  };
  writeFileSync(machine.initramfs, initramfs);
  const state = await stateOf(program, machine, directory);

  const sharedMemory = options.sharedMemory ?? true;
  const input = openSync(state, 'r');
  try {
    const guest = await Qemu.start({
      program,
      directory,
      name: 'kvm',
      input,
      arguments: [
        ...machineArguments(
          machine,
          { sharedMemory, hugePages: options.hugePages ?? false },
          `,accel=kvm${options.irqchip ? `,kernel-irqchip=${options.irqchip}` : ''}`,
        ),
        ...(options.sandbox ? ['-sandbox', sandbox] : []),
        ...['-incoming', 'fd:3'],
      ],
    });
    await loaded(guest);
    await guest.qmp('cont');
    return guest;
  } finally {
    closeSync(input);
  }
}

const sandbox = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/** Wait until the incoming state is loaded; the guest is paused then, as it was when it was saved. */
async function loaded(guest: Qemu): Promise<void> {
  const limit = Date.now() + 120_000;
  for (;;) {
    const { status } = (await guest.qmp('query-status')) as { status: string };
    if (status === 'paused') return;
    if (status !== 'inmigrate' || Date.now() > limit) throw new Error(`the guest is ${status}`);
    await sleep(50);
  }
}

/** The file with the state of a machine that has booted under TCG and is blocked in pause(). */
async function stateOf(program: string, machine: Machine, directory: string): Promise<string> {
  const version = execFileSync(program, ['--version'], { encoding: 'utf8' });
  const key = createHash('sha256')
    .update(JSON.stringify([version, { ...machine, initramfs: '' }]))
    .update(readFileSync(machine.initramfs))
    .update(readFileSync(join(dirname(machine.kernel), 'version')))
    .digest('hex');
  return cached(inTestCache('guest-states', key.slice(0, 32)), async (temporary) => {
    const guest = await Qemu.start({
      program,
      directory,
      name: 'tcg',
      arguments: machineArguments(machine, { sharedMemory: false }, ',accel=tcg'),
    });
    try {
      await guest.printed(/^guest-ready$/m, 180);
      await sleep(1000); // for what the boot has deferred
      await guest.qmp('stop');
      await guest.qmp('migrate', { uri: `exec:cat > '${temporary}'` });
      for (;;) {
        const { status } = (await guest.qmp('query-migrate')) as { status?: string };
        if (status === 'completed') break;
        if (status === 'failed') throw new Error("the guest's state cannot be saved");
        await sleep(50);
      }
    } finally {
      await guest.stop();
    }
  });
}

function pauseProgram(directory: string): Buffer {
  mkdirSync(directory, { recursive: true });
  const source = fileURLToPath(new URL('pause.c', import.meta.url));
  const program = join(directory, 'pause');
  execFileSync('gcc', ['-O2', '-static', '-nostdlib', '-o', program, source]);
  const content = readFileSync(program);
  rmSync(program);
  return content;
}
