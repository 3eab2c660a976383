import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeInitramfs } from './initramfs.js';
import { kernelOf, type Suite } from './kernel.js';
import { machineArguments } from './machine.js';
import { pauseProgram } from './pause.js';
import { Qemu } from './qemu.js';
import { goOn, incoming, savedState } from './saved-state.js';
import { exportedSymbols, kallsymsDisk, readKallsyms, type Symbols } from './symbols.js';

export interface TcgGuestOptions {
  /** Debian suite whose kernel runs. */
  suite: Suite;
  /** An empty directory for sockets and logs. */
  directory: string;
  /** MiB. */
  memory?: number;
  /** QEMU's machine type: "pc" or "q35". */
  machine?: string;
  cpus?: number;
  /** Memory in a memfd, else anonymous. */
  sharedMemory?: boolean;
  /** The QEMU to run. */
  qemu?: string;
  /** Kernel at a random place (the default), else where it is linked. */
  kaslr?: boolean;
  /** Page tables of five levels, not four. */
  fiveLevels?: boolean;
  /** Have the guest write down its symbols, through a disk /dev/vda. */
  kallsyms?: boolean;
  /** QEMU's gdb stub, at the socket "gdb" in the directory. */
  gdb?: boolean;
  /** More kernel parameters. */
  append?: string;
  /** Kernel modules loaded, with what they depend on. */
  modules?: string[];
  /** What init does in busybox's shell when they are loaded; what it leaves in the background runs on. */
  script?: string;
  /** More files in the guest: their paths, without the first slash, and their content; all can be executed. */
  files?: Map<string, Buffer>;
  /** Boot once only, and begin with the state that was saved then; no devices of the machine's own can be added. */
  saved?: boolean;
  /** More arguments for QEMU. */
  devices?: string[];
}

export type TcgGuest = Qemu & {
  /** What its kernel exports, where it is in this boot; empty unless `kallsyms` was asked for. */
  symbols: Symbols;
};

/** What stands still for a minute does so because this machine has much else to do, not for what is tested. */
const patience = 'watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120';

/** A Debian kernel that runs under QEMU without KVM, so that its user space runs too; it is there when init is done. */
export async function startTcgGuest(options: TcgGuestOptions): Promise<TcgGuest> {
  const { suite, directory, kaslr = true, append = '' } = options;
  const kernel = kernelOf(suite);
  const initramfs = join(directory, 'initramfs');
  const disk = options.kallsyms ? kallsymsDisk(directory) : undefined;
  const dump = disk ? 'cat /proc/kallsyms >/dev/vda && sync && echo kallsyms-written\n' : '';
  writeFileSync(
    initramfs,
    makeInitramfs({
      kernel,
      modules: [...(options.modules ?? []), ...(disk ? ['virtio_pci', 'virtio_blk'] : [])],
      script: `${dump}${options.script ?? ''}\nexec /pause\n`,
      files: new Map([['pause', pauseProgram(directory)], ...(options.files ?? [])]),
    }),
  );
  const machine = {
    type: options.machine ?? 'pc',
    memory: options.memory ?? 512,
    cpus: options.cpus ?? 1,
    cpu: options.fiveLevels ? 'max' : 'max,-la57',
    kernel: join(kernel, 'vmlinuz'),
    initramfs,
    append:
      `console=ttyS0 panic=-1 sysrq_always_enabled ${patience} ${kaslr ? '' : 'nokaslr '}${append}`.trim(),
  };
  const program = options.qemu ?? 'qemu-system-x86_64';
  const state = options.saved ? await savedState(program, machine, directory) : undefined;
  const input = state === undefined ? undefined : openSync(state, 'r');
  const guest = await Qemu.start({
    ...{ program, directory, name: 'tcg' },
    ...(input === undefined ? {} : { input }),
    arguments: [
      ...machineArguments(machine, { sharedMemory: options.sharedMemory ?? true }, ',accel=tcg'),
      ...(disk ? ['-drive', `if=virtio,format=raw,file=${disk}`] : []),
      ...(options.gdb ? ['-gdb', `unix:${join(directory, 'gdb')},server=on,wait=off`] : []),
      ...(state === undefined ? [] : ['-incoming', incoming(program, state)]),
      ...(options.devices ?? []),
    ],
  });
  if (input !== undefined) closeSync(input);
  try {
    if (options.saved) await goOn(guest);
    else await guest.printed(/^guest-ready$/m, 240);
  } catch (error) {
    await guest.stop();
    throw error;
  }
  const kallsyms = disk ? readKallsyms(disk) : '';
  return Object.assign(guest, { symbols: exportedSymbols(kallsyms) });
}
