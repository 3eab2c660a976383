import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { apiSocketOf } from '../attacher/cloud-hypervisor/api-socket.js';
import { CloudHypervisorApi } from '../attacher/cloud-hypervisor/api.js';
import {
  diskWayOf,
  plugByApi,
  type DiskWay,
  type PluggedDisk,
} from '../attacher/cloud-hypervisor/plugged-disk.js';
import { exclusively } from '../attacher/hijack/index.js';
import { Refusal } from '../attacher/refusal.js';
import type { DiskArguments, DiskAttach } from './disk-arguments.js';
import { renderDisk } from './disk-report.js';

export const apiName = 'Cloud Hypervisor’s API';

/** How often the hypervisor is looked at, whether it is still there, in milliseconds. */
const healthInterval = 500;

/**
 * The image as a disk in a guest of Cloud Hypervisor, by its API, until we are told to end. Refused,
 * and nothing is touched, where that cannot be.
 */
export async function attachDiskByApi(attach: DiskAttach): Promise<void> {
  const { pid, serial, options, tell, signal } = attach;
  const { image } = attach.disk;
  const begun = performance.now();
  refuseUnfit(options);
  const api = new CloudHypervisorApi(apiSocketOf(pid));
  if (options.dryRun) {
    const lines = describe(api, await diskWayOf(api));
    const text = lines.map((line, n) => `${n + 1}. ${line}\n`).join('');
    process.stdout.write(options.format === 'json' ? `${JSON.stringify(lines)}\n` : text);
    return;
  }
  const id = options.session ?? randomBytes(4).toString('hex');
  const disk = await exclusively(pid, () => {
    signal.throwIfAborted();
    return plugByApi(api, { pid, id, image: resolve(image), serial, log: tell });
  });
  const total = performance.now() - begun;
  const times = { prepare: 0, stopped: 0, guest: total, total };
  const report = { id, backend: apiName, disk: disk.way, serial, times };
  process.stdout.write(renderDisk(report, options.format));
  tell(
    `${disk.served ? 'serving' : 'attached'} ${image}; Ctrl-C or \`debloat detach ${id}\` takes it away`,
  );
  await untilToldTo(signal, disk);
  const { isThere } = disk;
  await disk.unplug();
  tell(isThere ? 'detached' : `the virtual machine ${pid} has ended`);
}

/** What only our own device can do. */
function refuseUnfit({ cow, modules, loadDrivers }: DiskArguments): void {
  const unfit = cow ? '--cow' : modules === undefined ? undefined : '--modules';
  const option = unfit ?? (loadDrivers ? '--load-drivers' : undefined);
  if (option !== undefined) throw new Refusal('not-found', `${option} goes with a device of ours`);
}

function describe({ socket }: CloudHypervisorApi, way: DiskWay): string[] {
  const source = {
    'vhost-user': 'that we serve (vhost-user): the guest’s memory is shared',
    file: 'of the image’s file, which it opens: the guest’s memory is not shared',
  }[way];
  return [
    `ask ${apiName} at ${socket} for a read-only disk ${source} (vm.add-disk)`,
    'at the end ask it to take the disk away (vm.remove-device), and wait until the guest lets go',
  ];
}

/** Resolves when we are told to end, or the hypervisor has ended. */
async function untilToldTo(signal: AbortSignal, disk: PluggedDisk): Promise<void> {
  while (!signal.aborted && disk.isThere) {
    await sleep(healthInterval, undefined, { signal }).catch(() => undefined);
  }
}
