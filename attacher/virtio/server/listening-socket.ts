import { lstatSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { DebloatError, messageOf } from '../../../analyzer/errors.js';
import { closeDescriptor } from '../../../native/linux/event.js';
import { failedWith } from '../../../native/linux/system-error.js';
import { connectTo, listenAt } from '../../../native/linux/unix-socket.js';

/**
 * Listen at `path`. A socket that a killed server left there is taken away first; one that is still
 * served, and any other file, is not touched: DebloatError.
 */
export function openListener(path: string): number {
  try {
    removeStale(path);
    return listenAt(path);
  } catch (error) {
    if (error instanceof DebloatError) throw error;
    const directory = dirname(path);
    if (failedWith(error, 'ENOENT')) {
      throw new DebloatError(`cannot listen at ${path}: there is no directory ${directory}`, {
        hint: `make it: mkdir -p ${directory}`,
        cause: error,
      });
    }
    throw new DebloatError(`cannot listen at ${path}: ${messageOf(error)}`, {
      hint: 'give --socket a path that this user can write to',
      cause: error,
    });
  }
}

/** Stop listening; `fd` is closed, and the path goes. */
export function closeListener(path: string, fd: number): void {
  closeDescriptor(fd);
  try {
    unlinkSync(path);
  } catch (error) {
    if (!failedWith(error, 'ENOENT')) throw error;
  }
}

function removeStale(path: string): void {
  try {
    if (!lstatSync(path).isSocket()) {
      throw new DebloatError(`${path} is there and is not a socket`, {
        hint: 'give --socket a path where nothing is',
      });
    }
    closeDescriptor(connectTo(path));
  } catch (error) {
    if (failedWith(error, 'ENOENT')) return;
    if (!failedWith(error, 'ECONNREFUSED')) throw error;
    unlinkSync(path);
    return;
  }
  throw new DebloatError(`${path} is served by another process`, {
    hint: 'give --socket another path, or stop that process',
  });
}
