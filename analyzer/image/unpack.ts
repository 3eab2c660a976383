import { execa } from 'execa';
import { DebloatError, messageOf } from '../errors.js';
import { diskFull } from './disk-full.js';
import { contentSize, mergedTar, type MergedTarOptions } from './merged-tar.js';
import type { Image } from './types.js';

/**
 * Unpack the merged tree (or the part that `include` wants) into the empty directory `dir` with
 * owners, modes, times, extended attributes, devices, holes and hardlinks as in the image. Needs
 * root. The tree has every path once and none below a symlink, so nothing can land outside `dir`.
 *
 * @throws DebloatError without root, on a full disk, or if tar fails.
 */
export async function unpackTree(
  image: Pick<Image, 'tree' | 'layers'>,
  dir: string,
  options: MergedTarOptions = {},
): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new DebloatError('unpacking an image with its owners and devices needs root', {
      hint: 'run debloat as root, or use a container engine (--runtime docker)',
    });
  }
  const tar = await execa('tar', tarArguments(dir), {
    input: mergedTar(image, options),
    stdout: 'ignore',
    env: { LC_ALL: 'C' },
    reject: false,
    ...(options.signal && { cancelSignal: options.signal }),
  });
  options.signal?.throwIfAborted();
  if (!tar.failed) return;
  if (/No space left on device|Disk quota exceeded|Wrote only \d+ of \d+ bytes/.test(tar.stderr)) {
    throw await diskFull(dir, contentSize(image.tree, options.include), tar);
  }
  if (tar.code === 'ENOENT') {
    throw new DebloatError('GNU tar is not installed', { hint: 'install it: apt install tar' });
  }
  const problem = tar.stderr.split('\n')[0] || messageOf(tar.cause ?? tar);
  throw new DebloatError(`cannot unpack the image into ${dir}: ${problem}`, { cause: tar });
}

function tarArguments(dir: string): string[] {
  return [
    '--extract',
    '--file=-',
    `--directory=${dir}`,
    '--preserve-permissions',
    '--same-owner',
    '--numeric-owner',
    '--delay-directory-restore',
    // else absolute symlinks are made last and spoil their directory's time; names here are relative
    '--absolute-names',
    '--xattrs',
    '--xattrs-include=*',
    '--warning=no-timestamp',
  ];
}
