import { DebloatError } from '../../analyzer/errors.js';
import { kernelHas, overlayFileSystem, type OverlayFileSystem } from '../overlay-file-system.js';
import { reasonOf, type SessionNotStarted } from '../session/conversation.js';
import type { OverlayFile } from './overlay-file.js';

/** The step of stage 2 that mounts an overlay (native/guest/stage2/disk.c). */
const mountStep = "mount the overlay's disk";

/** The file system of an overlay; throws a DebloatError where it is none that overlays have. */
export function requireFileSystem({ name, path }: OverlayFile): OverlayFileSystem {
  const system = overlayFileSystem(path);
  if (system !== undefined) return system;
  throw new DebloatError(`${name} is no overlay: it is neither squashfs, erofs nor ext4.`, {
    hint: 'an overlay is what `debloat build` writes: overlay.squashfs, .erofs or .ext4',
  });
}

/** What is to be said of a session that did not start; of an overlay that was not mounted, why. */
export function whyNotStarted(overlay: OverlayFile, error: SessionNotStarted): DebloatError {
  const { what, errno } = error.failure;
  if (what !== mountStep) return error;
  const system = requireFileSystem(overlay);
  // Asked only now: by the attempt the kernel has loaded the module, where it found one.
  const [reason, hint] = kernelHas(system)
    ? [
        `This machine’s kernel does not mount ${overlay.name}, ${articled(system)} image: ${reasonOf(errno)}.`,
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
