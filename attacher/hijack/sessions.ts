import { openProcess, takeDescriptor } from '../../native/linux/process-memory.js';
import { closeDescriptor } from '../../native/linux/event.js';
import { fstatSync } from 'node:fs';
import { failedWith } from '../../native/linux/system-error.js';
import { findVirtualMachines } from '../hypervisor/index.js';
import { pageSize } from './arena.js';
import { ArenaFile } from './arena-file.js';
import { arenaFiles } from './hypervisor-files.js';
import type { AttachRecord } from './journal.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';

/** A session's traces in a hypervisor. */
export interface FoundSession {
  /** Of the hypervisor. */
  pid: number;
  id: string;
  /** Undefined where the attach was broken off before it noted anything. */
  record: AttachRecord | undefined;
  /** Whether the process that serves it lives. */
  alive: boolean;
}

/** The sessions in the hypervisor `pid`. Throws as node:fs does where it may not be looked into. */
export function sessionsIn(pid: number): FoundSession[] {
  return arenaFiles(pid).flatMap(({ fd, id }) => {
    const file = openArena(pid, fd);
    try {
      const record = file?.journal.read();
      return [{ pid, id, record, alive: record !== undefined && isAlive(record.owner) }];
    } finally {
      file?.[Symbol.dispose]();
    }
  });
}

/** Sessions of all VMs that we may look into. */
export function allSessions(): FoundSession[] {
  return findVirtualMachines().flatMap(({ pid }) => {
    try {
      return sessionsIn(pid);
    } catch (error) {
      if (failedWith(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return [];
      throw error;
    }
  });
}

/** Map the arena that the hypervisor has as `fd`; undefined if it has no size yet, or is gone. */
export function openArena(pid: number, fd: number): ArenaFile | undefined {
  const pidfd = openProcess(pid);
  let own: number | undefined;
  try {
    own = takeDescriptor(pidfd, fd);
    const { size } = fstatSync(own);
    if (size < pageSize || size % pageSize !== 0) return undefined;
    const file = new ArenaFile(own, size);
    own = undefined;
    return file;
  } catch (error) {
    if (failedWith(error, 'EBADF', 'ESRCH')) return undefined;
    throw error;
  } finally {
    if (own !== undefined) closeDescriptor(own);
    closeDescriptor(pidfd);
  }
}

function isAlive({ pid, started }: AttachRecord['owner']): boolean {
  return startTimeOf(pid) === started;
}
