import { randomBytes } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  lchownSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { statusField } from '../hypervisor/index.js';

/** A directory for one socket of ours that a hypervisor shall connect to; the hypervisor may have another root. */
export const socketPlace = z.object({
  /** By our paths. */
  directory: z.string(),
  /** By the hypervisor's. */
  seen: z.string(),
});
export type SocketPlace = z.infer<typeof socketPlace>;

/** Where programs may write, in whatever root they have. */
const places = ['/tmp', '/run', '/var/tmp', '/dev/shm'];

const socketName = 'disk';

/** A new place that process `pid` can see, which is not made yet. Throws DebloatError where there is none. */
export function chooseSocketPlace(pid: number): SocketPlace {
  const name = `debloat-disk-${randomBytes(6).toString('hex')}`;
  if (!hasOwnFiles(pid)) {
    const directory = join(resolve(tmpdir()), name);
    return { directory, seen: directory };
  }
  const parent = places.find((place) => isWritable(`/proc/${pid}/root${place}`));
  if (parent === undefined) {
    throw new DebloatError(`There is no directory that process ${pid} could find a socket in.`);
  }
  return { directory: `/proc/${pid}/root${parent}/${name}`, seen: `${parent}/${name}` };
}

/** The socket's path, by ours and by the hypervisor's paths. */
export function socketOf({ directory, seen }: SocketPlace): { path: string; seen: string } {
  return { path: join(directory, socketName), seen: join(seen, socketName) };
}

/** Make the directory, which nobody else can look into. Throws DebloatError. */
export function makeSocketPlace({ directory }: SocketPlace): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new DebloatError(`cannot make ${directory}: ${messageOf(error)}`, { cause: error });
  }
}

/** Let the user that process `pid` runs as connect to the socket that listens there. Throws DebloatError. */
export function lendSocket(place: SocketPlace, pid: number): void {
  const owner = userOf(pid);
  if (owner === undefined || owner.uid === process.geteuid?.()) return;
  try {
    // Never through a link: the directory above may be the hypervisor's.
    lchownSync(socketOf(place).path, owner.uid, owner.gid);
    chmodSync(place.directory, 0o711);
  } catch (error) {
    throw new DebloatError(`process ${pid} may not be given a socket: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Whether the directory is there: something was, or is, served in it. */
export function isSocketPlace({ directory }: SocketPlace): boolean {
  return lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Remove the directory with what is left in it; no error where it is gone. */
export function removeSocketPlace({ directory, seen }: SocketPlace): void {
  // By the hypervisor's paths, too: when it is gone its root is, and that may have been in ours.
  for (const path of [directory, seen]) rmSync(path, { recursive: true, force: true });
}

/** Whether a process sees other files than we do: in a container, or in a changed root. */
export function hasOwnFiles(pid: number): boolean {
  try {
    return ['ns/mnt', 'root'].some(
      (name) => readlinkSync(`/proc/${pid}/${name}`) !== readlinkSync(`/proc/self/${name}`),
    );
  } catch {
    return false;
  }
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return lstatSync(directory).isDirectory();
  } catch {
    return false;
  }
}

/** By what a process is judged when it opens files (proc(5), fields Uid and Gid: the fourth number). */
function userOf(pid: number): { uid: number; gid: number } | undefined {
  const id = (name: string) => Number(statusField(`/proc/${pid}`, name)?.split(/\s+/)[3]);
  const [uid, gid] = [id('Uid'), id('Gid')];
  return Number.isSafeInteger(uid) && Number.isSafeInteger(gid) ? { uid, gid } : undefined;
}
