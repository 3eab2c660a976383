import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../analyzer/errors.js';
import { defaultCacheDirectory } from '../attacher/guest/index.js';
import {
  attachDisk,
  describePlan,
  exclusively,
  preparePlan,
  type AttachedDisk,
} from '../attacher/hijack/index.js';
import type { Attachment } from '../attacher/hijack/attachment.js';
import { openVirtualMachine, type VirtualMachine } from '../attacher/hypervisor/index.js';
import { modulesFor, windowDrivers } from '../attacher/modules/index.js';
import { loadByStage2, readStage2 } from '../attacher/session/kvm-stage2.js';
import { openDisk, type DiskOptions } from '../attacher/virtio/disk/open-disk.js';
import { abortOnSignals } from './interrupt.js';
import type { CommonOptions } from './options.js';

/** Options of `debloat attach --disk-only`. */
export interface DiskArguments extends CommonOptions {
  cow?: true | string;
  serial?: string;
  session?: string;
  loadDrivers?: boolean;
  modules?: string;
  dryRun?: boolean;
}

/** `debloat attach --disk-only VM IMAGE`: the image as a disk in the guest, until we are told to end. */
export async function attachDiskOnly(
  pid: number,
  image: string,
  options: DiskArguments,
): Promise<void> {
  const disk = diskOptions(image, options);
  openDisk(disk).close(); // what is wrong with the image is said before the VM is touched
  const tell = (line: string) => {
    if (options.quiet !== true) process.stderr.write(`${line}\n`);
  };
  using machine = openVirtualMachine(pid);
  const begun = performance.now();
  if (options.dryRun) {
    const { plan, files } = planFor(machine, options.modules);
    const lines = describePlan(plan, machine, files);
    const text = lines.map((line, n) => `${n + 1}. ${line}\n`).join('');
    process.stdout.write(options.format === 'json' ? `${JSON.stringify(lines)}\n` : text);
    return;
  }
  const signal = abortOnSignals();
  const serial = options.serial ?? basename(image).slice(0, 20);
  let prepared = 0;
  const attached = await exclusively(machine.pid, async () => {
    const { plan, first } = planFor(machine, options.modules);
    prepared = performance.now() - begun;
    signal.throwIfAborted();
    return attachDisk(machine, plan, {
      ...{ disk, serial, log: tell, loadDrivers: options.loadDrivers ?? false },
      ...{ id: options.session, modules: options.modules, first },
    });
  });
  const times = { prepare: prepared, ...attached.times, total: performance.now() - begun };
  process.stdout.write(render(attached, { serial, times }, options.format));
  tell(`serving ${image}; Ctrl-C or \`debloat detach ${attached.id}\` takes it away`);
  await untilToldTo(signal, attached);
  await end(attached, machine.pid, tell);
}

/** The plan, and how the guest gets those of its drivers that are in the directory `modules`. */
function planFor(machine: VirtualMachine, modules: string | undefined) {
  const cacheDirectory = defaultCacheDirectory();
  if (modules === undefined) return { plan: preparePlan(machine, { cacheDirectory }), files: [] };
  const stage2 = readStage2();
  const plan = preparePlan(machine, { cacheDirectory, session: stage2.pages });
  const files = modulesFor(modules, plan.kernel, windowDrivers);
  const first = (attachment: Attachment) => loadByStage2(attachment, plan, stage2, files);
  return { plan, files, first };
}

/** How often the guest is looked at, whether it is still the one that was attached to, in milliseconds. */
const healthInterval = 500;

/** Resolves when we are told to end, the hypervisor has ended, or its guest was started anew. */
async function untilToldTo(signal: AbortSignal, attached: AttachedDisk): Promise<void> {
  const over = new AbortController();
  const stopped = AbortSignal.any([signal, over.signal]);
  void attached.ended.finally(() => over.abort());
  while (!stopped.aborted && attached.attachment.hangs) {
    await sleep(healthInterval, undefined, { signal: stopped }).catch(() => undefined);
  }
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
  const { hangs } = attached.attachment;
  const { statistics } = await exclusively(pid, () => attached.detach());
  const { reads, writes, failures } = statistics;
  tell(
    `detached: ${reads} reads, ${writes} writes, ${failures} failed; ` +
      `stopped for ${attached.attachment.target.stopped.toFixed(1)} ms`,
  );
  if (hangs) return;
  throw new DebloatError('The guest was started anew: its disk is gone.', {
    hint: 'nothing of the session is left; attach again when the guest is up',
  });
}

function diskOptions(image: string, { cow }: DiskArguments): DiskOptions {
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
