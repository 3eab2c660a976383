import { readFileSync } from 'node:fs';

/** Field 22 of /proc/PID/stat (proc(5)): tells a process from a later one with the same pid. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** SIGKILL `pid`, but only if it is still the process that started at `startTime`. */
export function killSameProcess(pid: number, startTime: string): void {
  if (startTimeOf(pid) !== startTime) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it ended meanwhile
  }
}
