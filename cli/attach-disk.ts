import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../analyzer/errors.js';
import { isCloudHypervisor } from '../attacher/cloud-hypervisor/api-socket.js';
import { defaultCacheDirectory } from '../attacher/guest/index.js';
import {
  attachDisk,
  describePlan,
  exclusively,
  openUndisturbed,
  preparePlan,
  type AttachedDisk,
} from '../attacher/hijack/index.js';
import type { Attachment } from '../attacher/hijack/attachment.js';
import type { VirtualMachine } from '../attacher/hypervisor/index.js';
import { modulesFor, windowDrivers } from '../attacher/modules/index.js';
import { loadByStage2, readStage2 } from '../attacher/session/kvm-stage2.js';
import { openDisk, type DiskOptions } from '../attacher/virtio/disk/open-disk.js';
import { Refusal } from '../attacher/refusal.js';
import { apiName, attachDiskByApi } from './attach-disk-by-api.js';
import { renderDisk } from './disk-report.js';
import { abortOnSignals } from './interrupt.js';
import type { DiskArguments, DiskAttach } from './disk-arguments.js';

/** `debloat attach --disk-only VM IMAGE`: the image as a disk in the guest, until we are told to end. */
export async function attachDiskOnly(
  pid: number,
  image: string,
  options: DiskArguments,
): Promise<void> {
  const disk = diskOptions(image, options);
  openDisk(disk).close(); // what is wrong with the image is said before the VM is touched
  const attach: DiskAttach = {
    ...{ pid, disk, options, signal: abortOnSignals() },
    serial: options.serial ?? basename(image).slice(0, 20),
    tell: (line) => {
      if (options.quiet !== true) process.stderr.write(`${line}\n`);
    },
  };
  if (!isCloudHypervisor(pid)) {
    await attachByKvm(attach);
    return;
  }
  try {
    await attachDiskByApi(attach);
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    attach.tell(`not by ${apiName}: ${refusal.message}`);
    await attachByKvm(attach).catch((error: unknown) => {
      if (!(error instanceof Refusal)) throw error;
      const reasons = `${apiName}: ${refusal.message}; KVM: ${error.message}`;
      throw new DebloatError(`There is no way into the virtual machine ${pid}: ${reasons}.`, {
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        cause: refusal,
      });
    });
  }
}

/** By hijacking KVM, which serves whatever hypervisor. */
async function attachByKvm(attach: DiskAttach): Promise<void> {
  const { pid, disk, serial, options, tell, signal } = attach;
  using machine = await openUndisturbed(pid);
  const begun = performance.now();
  if (options.dryRun) {
    const { plan, files } = await exclusively(pid, () => planFor(machine, options.modules));
    const lines = describePlan(plan, machine, files);
    const text = lines.map((line, n) => `${n + 1}. ${line}\n`).join('');
    process.stdout.write(options.format === 'json' ? `${JSON.stringify(lines)}\n` : text);
    return;
  }
  let prepared = 0;
  const attached = await exclusively(pid, async () => {
    const { plan, first } = planFor(machine, options.modules);
    prepared = performance.now() - begun;
    signal.throwIfAborted();
    return attachDisk(machine, plan, {
      ...{ disk, serial, log: tell, loadDrivers: options.loadDrivers ?? false },
      ...{ id: options.session, modules: options.modules, first },
    });
  });
  const times = { prepare: prepared, ...attached.times, total: performance.now() - begun };
  const backend = `${machine.name} by KVM`;
  const report = { id: attached.id, backend, disk: 'virtio-mmio', serial, times } as const;
  process.stdout.write(renderDisk(report, options.format));
  tell(`serving ${disk.image}; Ctrl-C or \`debloat detach ${attached.id}\` takes it away`);
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
