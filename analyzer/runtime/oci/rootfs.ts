import { chmod, chown, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Image } from '../../image/types.js';
import { unpackTree } from '../../image/unpack.js';
import type { Workspace } from '../../workspace/workspace.js';

/** The root directory of one run's container: the image's tree, writable, its own. */
export interface Rootfs {
  path: string;
  release: () => Promise<void>;
}

/** Unpack the merged tree of `image` into a new directory of the workspace. */
export async function unpackRootfs(
  image: Image,
  workspace: Workspace,
  signal?: AbortSignal,
): Promise<string> {
  const dir = await workspace.directory('rootfs');
  const root = image.tree.root.inode;
  await unpackTree(image, dir, { ...(signal && { signal }) });
  // The workspace keeps others out of its directories; a container's user has to get into its root.
  await chmod(dir, root.mode === 0 ? 0o755 : root.mode);
  await chown(dir, root.uid, root.gid);
  return dir;
}

/**
 * A writable view of the unpacked tree `lower` below `runDir`: an overlay mount, or, where the
 * workspace's file system cannot be the upper layer of one, a tree unpacked afresh.
 */
export async function writableRootfs(
  lower: string,
  runDir: string,
  image: Image,
  workspace: Workspace,
): Promise<Rootfs> {
  const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => join(runDir, name));
  if (upper === undefined || work === undefined || merged === undefined) throw new Error('names');
  for (const dir of [upper, work, merged]) await mkdir(dir);
  const { mode, uid, gid } = await stat(lower);
  await chmod(upper, mode & 0o7777); // the merged root takes its attributes from here
  await chown(upper, uid, gid);
  const handle = workspace.register({ kind: 'mount', path: merged });
  const options = `lowerdir=${escape(lower)},upperdir=${escape(upper)},workdir=${escape(work)}`;
  const mount = await execa('mount', ['-t', 'overlay', 'overlay', '-o', options, merged], {
    reject: false,
    stdin: 'ignore',
  });
  if (!mount.failed) return { path: merged, release: () => workspace.release(handle) };
  workspace.forget(handle);
  const copy = await unpackRootfs(image, workspace);
  return { path: copy, release: () => rm(copy, { recursive: true, force: true }) };
}

// Kernel's overlayfs documentation: a colon separates lower layers, a comma options.
function escape(path: string): string {
  return path.replace(/[\\:,]/g, '\\$&');
}
