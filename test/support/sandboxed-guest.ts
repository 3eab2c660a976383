import { chmodSync, mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTcgGuest, type TcgGuest, type TcgGuestOptions } from '../vm/tcg-guest.js';
import { makeOverlayImage } from './overlay-image.js';

/** An overlay below `directory`, in a folder that sandboxed guests do not see. */
export function hiddenOverlay(directory: string): string {
  chmodSync(directory, 0o755); // that their user may go there is not what is tested
  const hidden = join(directory, 'hidden');
  mkdirSync(hidden);
  const overlay = join(hidden, 'overlay.squashfs');
  renameSync(makeOverlayImage(directory), overlay);
  return overlay;
}

/** A QEMU of another user, with a mount namespace in which that overlay is not to be seen; its monitor is at `qmp`. */
export async function startSandboxedGuest(
  directory: string,
  options: Pick<TcgGuestOptions, 'sharedMemory' | 'script'>,
): Promise<{ guest: TcgGuest; qmp: string }> {
  const own = mkdtempSync(join(directory, 'guest-'));
  const qemu = join(own, 'qemu');
  const hidden = join(directory, 'hidden');
  writeFileSync(
    qemu,
    `#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs none "${hidden}" && exec qemu-system-x86_64 "$@"' sh "$@"
`,
    { mode: 0o755 },
  );
  const qmp = join(own, 'second');
  const guest = await startTcgGuest({
    ...{ suite: 'bookworm', directory: own, qemu, gdb: true, ...options },
    modules: ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay'],
    devices: ['-qmp', `unix:${qmp},server=on,wait=off`, '-runas', 'nobody'],
  });
  return { guest, qmp };
}
