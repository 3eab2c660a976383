import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeInitramfs } from './initramfs.js';
import { kernelOf, vmlinuxOf, type Suite } from './kernel.js';
import { machineArguments, type Machine } from './machine.js';
import { pauseProgram } from './pause.js';
import { Qemu } from './qemu.js';
import { goOn, incoming, savedState } from './saved-state.js';
import type { Symbols } from './symbols.js';
import { symbolsOf } from './unrelocated-symbols.js';

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

export type KvmGuest = Qemu & {
  /** What its kernel exports, from its own /proc/kallsyms. */
  symbols: Symbols;
};

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
export async function startKvmGuest(options: KvmGuestOptions): Promise<KvmGuest> {
  const { directory, qemu: program = 'qemu-system-x86_64', irqchip = 'on' } = options;
  const symbols = await symbolsOf(options.suite, directory);
  const machine = await bootedMachine(options);
  const state = await savedState(program, machine, directory);
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
          {
            sharedMemory: options.sharedMemory ?? true,
            hugePages: options.hugePages ?? false,
          },
          `,accel=kvm,kernel-irqchip=${irqchip}`,
        ),
        ...(options.sandbox ? ['-sandbox', sandbox] : []),
        ...['-incoming', incoming(program, state)],
      ],
    });
    try {
      await goOn(guest);
    } catch (error) {
      await guest.stop();
      throw error;
    }
    return Object.assign(guest, { symbols });
  } finally {
    closeSync(input);
  }
}

async function bootedMachine(options: KvmGuestOptions): Promise<Machine> {
  const { suite, directory, machine: type = 'pc', append = '' } = options;
  const initramfs = join(directory, 'initramfs');
  writeFileSync(
    initramfs,
    makeInitramfs({
      kernel: kernelOf(suite),
      modules: options.modules ?? diskModules,
      script: `${options.script ?? ''}\nexec /pause\n`,
      files: new Map([['pause', pauseProgram(directory)]]),
    }),
  );
  const microvm = type.startsWith('microvm');
  return {
    // Left to itself a microvm has a clock chip under TCG and none under KVM. Linux 5.10 waits for one for ever.
    type: microvm && !type.includes('rtc=') ? `${type},rtc=on` : type,
    memory: options.memory ?? 256,
    cpus: options.cpus ?? 1,
    cpu,
    kernel: await vmlinuxOf(suite),
    initramfs,
    append: [parameters, microvm ? `tsc_early_khz=${tscKilohertz()}` : '', append].join(' ').trim(),
  };
}

/** The TSC's rate as the host's kernel tells it; a microvm with ACPI has nothing to measure it by. */
function tscKilohertz(): number {
  const [, megahertz = '2000'] =
    /cpu MHz\s*: ([\d.]+)/.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? [];
  return Math.round(Number(megahertz) * 1000);
}

const sandbox = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';
