import { DebloatError } from '../../analyzer/errors.js';
import { kernelHas, requireFileSystem, type OverlayFileSystem } from '../overlay-file-system.js';
import { errnoReason } from '../../native/linux/system-error.js';
import type { SessionNotStarted } from '../session/conversation.js';
import type { OverlayFile } from './overlay-file.js';

/** The step of stage 2 that mounts an overlay (native/guest/stage2/disk.c). */
const mountStep = "mount the overlay's disk";

/** What is to be said of a session that did not start; of an overlay that was not mounted, why. */
export function whyNotStarted(overlay: OverlayFile, error: SessionNotStarted): DebloatError {
  const { what, errno } = error.failure;
  if (what !== mountStep) return error;
  const system = requireFileSystem(overlay.name, overlay.path);
  // Asked only now: by the attempt the kernel has loaded the module, where it found one.
  const [reason, hint] = kernelHas(system)
    ? [
        `This machine’s kernel does not mount ${overlay.name}, ${articled(system)} image: ${errnoReason(errno)}.`,
        'the file is damaged, or its driver was built without something that it needs, as a compression; `dmesg` tells',
      ]
    : [
        `This machine’s kernel has no ${system.name} driver, which ${overlay.name} needs.`,
        `load it (modprobe ${system.name}), or build the image again with --overlay and a format that is in /proc/filesystems`,
      ];
  return new DebloatError(reason, { hint, cause: error });
}

function articled({ name }: OverlayFileSystem): string {
  return `${name === 'squashfs' ? 'a' : 'an'} ${name}`;
}
