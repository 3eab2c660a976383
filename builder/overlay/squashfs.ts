import { hasTool, runTool, type RunToolOptions } from '../run-tool.js';
import { setRootMetadata } from './squashfs-root.js';
import type { OverlayWriter } from './format.js';

// `mksquashfs - FILE -tar` is sqfstar under its other name: sqfstar 4.5 misreads compression levels.
// zstd is read by kernels since 4.14; level 3 takes 1/13 of gzip's time for 2 % more bytes.
const fixed = [
  '-comp',
  'zstd',
  '-Xcompression-level',
  '3',
  '-b',
  '128K',
  '-mkfs-time',
  '0',
  '-noI',
];

/** squashfs by squashfs-tools 4.5.1 or later, straight from the tar stream; needs no root. */
export const squashfs: OverlayWriter = {
  // others it calls truncated (plougher/squashfs-tools#401)
  readsSparse: ({ size, storedSize }) => size % 512 === 0 && storedSize % 512 === 0,

  async write({ tar, root, file, makes, workspace, signal }) {
    const rootOptions = ['-root-mode', root.mode.toString(8)];
    const quiet = ['-quiet', '-no-progress', '-exit-on-error', '-noappend', '-mem', '128M'];
    const args = ['-', file, '-tar', ...fixed, ...rootOptions, ...quiet];
    await runAsRoot('mksquashfs', args, { workspace, input: tar, signal, makes });
    const { uid, gid, mtime } = root;
    await setRootMetadata(file, { uid, gid, mtime: clampTime(mtime) });
  },

  async unpack(file, dir, { workspace, signal }) {
    // owners and devices cannot be made without root, and are not needed
    const args = ['-dest', dir, '-force', '-no-xattrs', '-quiet', '-no-progress', '-no-exit-code'];
    await runTool('unsquashfs', [...args, file], {
      workspace,
      signal,
      makes: `the files of the overlay ${file}`,
    });
  },
};

/**
 * mksquashfs notes who runs it: under fakeroot, where that is installed, a user gets the same bytes
 * as root; without it the file system differs in one unused entry of its table of owners.
 */
async function runAsRoot(tool: string, args: string[], options: RunToolOptions): Promise<void> {
  const underFakeroot = process.getuid?.() !== 0 && (await hasTool('fakeroot'));
  if (underFakeroot) await runTool('fakeroot', ['--', tool, ...args], options);
  else await runTool(tool, args, options);
}

/** squashfs times are unsigned 32-bit seconds. */
function clampTime(seconds: number): number {
  return Math.min(0xffffffff, Math.max(0, Math.floor(seconds)));
}
