import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';

const stage2 = fileURLToPath(new URL('../../dist/native/stage2', import.meta.url));

/** Loop devices with this file behind them. */
export function loopsOf(file: string): string[] {
  return readdirSync('/sys/block').filter((name) => {
    try {
      return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').includes(file);
    } catch {
      return false;
    }
  });
}

/** Stage 2 of this checkout. */
export function stage2Processes(): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/exe`).startsWith(stage2);
    } catch {
      return false;
    }
  });
}

/** What a session in a container could leave on this machine: mounts that name `directory`, loop devices, processes. */
export function machineTraces(directory: string, overlay: string) {
  return {
    mounts: readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(directory) || /squashfs|erofs|\bloop/.test(line)),
    loops: loopsOf(overlay),
    stage2: stage2Processes(),
  };
}

/** Wait until `check` no longer throws. */
export async function soon(check: () => void, seconds = 10): Promise<void> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    try {
      check();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await sleep(50);
  }
}
