import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { Command } from '../guest/stage-steps.js';
import type { Attachment } from './attachment.js';
import { driverOf, type Driver } from './driver-progress.js';

/** How long drivers may take to find the device, in milliseconds. */
const driverPatience = 10_000;

/**
 * Resolves when the guest's drivers have taken the device up. `load`: have its modprobe load what is
 * missing. Throws DebloatError that names the missing one.
 */
export async function waitForDriver(
  attachment: Attachment,
  windowHead: number,
  load: boolean,
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
  if (load) {
    attachment.control.setDrivers(['virtio_mmio', 'virtio_blk']);
    await attachment.command(Command.loadDrivers);
    missing = await waitUntilReady();
    if (missing === 'ready') return;
  }
  throw new DebloatError(`The guest’s kernel has no driver ${missing} at work.`, {
    hint: load
      ? `its modprobe could not load it: install the module in the guest`
      : `load it in the guest (modprobe ${missing}), or have debloat ask the guest’s modprobe: --load-drivers`,
  });
}
