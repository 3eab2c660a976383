import { readFileSync } from 'node:fs';
import { failedWith } from '../../native/linux/system-error.js';

/** When a process started: with its number, what tells it from a later one (proc(5), stat field 22). */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}
