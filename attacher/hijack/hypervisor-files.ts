import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { failedWith } from '../../native/linux/system-error.js';
import { readMemoryMap } from '../../native/linux/memory-map.js';

const prefix = 'debloat-';

/** The name under which the file of session `id` is known in the hypervisor. */
export function arenaName(id: string): string {
  return prefix + id;
}

/** A file of ours that process `pid` has open: its descriptor, and of which session it is. */
export interface ArenaFile {
  fd: number;
  id: string;
}

/** All sessions' files in a hypervisor. Throws as node:fs does where it may not be looked into. */
export function arenaFiles(pid: number): ArenaFile[] {
  return descriptorsOf(pid).flatMap(({ fd, target }) => {
    const id = /^\/memfd:debloat-([0-9a-z-]+) \(deleted\)$/.exec(target)?.[1];
    return id === undefined ? [] : [{ fd, id }];
  });
}

/** Where process `pid` has the file of session `id` mapped; 0 for nowhere. */
export function mappedAt(pid: number, id: string): number {
  const name = `/memfd:${arenaName(id)} (deleted)`;
  return readMemoryMap(pid).find((area) => area.name === name)?.start ?? 0;
}

/** The count that marks an eventfd of session `id` while it is in no record: made, or about to be closed. */
export function eventMark(id: string): number {
  let hash = 0x811c9dc5; // FNV-1a
  for (const byte of Buffer.from(id)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 1) | 0x40000000;
}

/** Descriptors of eventfds in process `pid` that carry the mark (proc(5), fdinfo). */
export function markedEvents(pid: number, mark: number): number[] {
  const line = `eventfd-count: ${mark.toString(16).padStart(16)}`;
  return descriptorsOf(pid)
    .filter(({ target }) => target === 'anon_inode:[eventfd]')
    .map(({ fd }) => fd)
    .filter((fd) => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8').includes(line));
}

function descriptorsOf(pid: number): { fd: number; target: string }[] {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).flatMap((name) => {
    try {
      return [{ fd: Number(name), target: readlinkSync(`${directory}/${name}`) }];
    } catch (error) {
      if (failedWith(error, 'ENOENT')) return []; // closed meanwhile
      throw error;
    }
  });
}
