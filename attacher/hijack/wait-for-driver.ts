import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { Command } from '../guest/stage-steps.js';
import type { Attachment } from './attachment.js';
import { driverOf, type Driver } from './driver-progress.js';

/** How long drivers may take to find the device, in milliseconds. */
const driverPatience = 10_000;

/**
 * Resolves when the guest's drivers have taken the device up. `loadDrivers`: have its modprobe load
 * what is missing; `modules`: where such were looked for already. Throws DebloatError that names the missing one.
 */
export async function waitForDriver(
  attachment: Attachment,
  windowHead: number,
  { loadDrivers, modules }: { loadDrivers: boolean; modules?: string | undefined },
): Promise<void> {
  const look = () => driverOf(attachment.file.bytes.subarray(windowHead));
  const waitUntilReady = async (): Promise<Driver> => {
    const end = performance.now() + driverPatience;
    let driver = look();
    while (driver !== 'ready' && performance.now() < end) {
      await sleep(10);
      driver = look();
    }
    return driver;
  };
  let missing = await waitUntilReady();
  if (missing === 'ready') return;
  if (loadDrivers) {
    attachment.control.setDrivers(['virtio_mmio', 'virtio_blk']);
    await attachment.command(Command.loadDrivers);
    missing = await waitUntilReady();
    if (missing === 'ready') return;
  }
  const tried = [
    ...(modules === undefined ? [] : [`there is none in ${modules} that does it`]),
    ...(loadDrivers ? ['its modprobe could not load it'] : []),
  ];
  const ways = [
    `load it in the guest (modprobe ${missing})`,
    ...(loadDrivers ? [] : ['have debloat ask the guest’s modprobe: --load-drivers']),
    ...(modules === undefined ? ['have debloat load it: --modules DIR, the guest’s modules'] : []),
  ];
  throw new DebloatError(`The guest’s kernel has no driver ${missing} at work.`, {
    hint: [...tried, ways.join(', or ')].join('; '),
  });
}
