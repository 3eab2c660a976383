import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { workspaceParent } from '../support/cli.js';
import { startTcgGuest, type TcgGuest, type TcgGuestOptions } from '../vm/tcg-guest.js';

/** A guest under TCG for sessions through its gdb stub. */
export type Guest = TcgGuest & { own: string };

export const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
export const sessionModules = ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay'];

/** A guest with a second monitor, for ours; what else it has is up to `options`. */
export async function startGuest(
  directory: string,
  { devices = [], ...options }: Partial<TcgGuestOptions>,
): Promise<Guest> {
  const own = mkdtempSync(join(directory, 'guest-'));
  const guest = await startTcgGuest({
    ...{ suite: 'bookworm', machine: 'pc', gdb: true, sharedMemory: true, cpus: 1 },
    ...{ directory: own, modules: sessionModules },
    ...options,
    devices: ['-qmp', `unix:${join(own, 'second')},server=on,wait=off`, ...devices],
  });
  return Object.assign(guest, { own });
}

/** The words after `node` that attach to a guest. */
export const attachWords = (
  { pid, own }: Pick<Guest, 'pid' | 'own'>,
  overlay: string,
  ...more: string[]
) => [
  ...['--', main, 'attach', `qemu://${pid}`],
  ...['--overlay', overlay, '--qmp', join(own, 'second'), ...more],
];

export const environment = (cache: string) => ({
  ...process.env,
  ...{ NO_COLOR: '1', DEBLOAT_TMPDIR: workspaceParent, XDG_CACHE_HOME: cache, SHELL: '/bin/sh' },
});

/** What a process has printed. */
export class Output {
  text = '';
  constructor(process: ChildProcess) {
    for (const stream of [process.stdout, process.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.text += chunk.toString()));
    }
  }
}

export async function until(done: () => boolean, what: () => string, seconds = 30): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!done()) {
    if (Date.now() > end) throw new Error(`it took longer than ${seconds} s: ${what()}`);
    await sleep(1);
  }
}

/** How long a machine stood, as a monitor of its own tells (QEMU's events STOP and RESUME). */
export class Stops {
  #since: number | undefined;
  #ended: number[] = [];

  private constructor(readonly socket: Socket) {
    let rest = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      const lines = `${rest}${chunk.toString()}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#receive(JSON.parse(line) as Event);
    });
  }

  static async watch(path: string): Promise<Stops> {
    const socket = connect(path);
    await once(socket, 'connect');
    socket.write('{"execute": "qmp_capabilities"}\n');
    return new Stops(socket);
  }

  /** Of each stop since the last call, in milliseconds. */
  take(): number[] {
    return this.#ended.splice(0);
  }

  close(): void {
    this.socket.destroy();
  }

  #receive({ event, timestamp }: Event): void {
    const at = timestamp && timestamp.seconds * 1e3 + timestamp.microseconds / 1e3;
    if (event === 'STOP') this.#since = at;
    if (event !== 'RESUME' || at === undefined || this.#since === undefined) return;
    this.#ended.push(at - this.#since);
    this.#since = undefined;
  }
}

interface Event {
  event?: string;
  timestamp?: { seconds: number; microseconds: number };
}

/** Seconds that each thread of a process has run (sched-stats.rst). */
export function threadTimes(pid: number): Map<number, number> {
  const threads = readdirSync(`/proc/${pid}/task`);
  return new Map(
    threads.map((tid) => {
      const text = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8');
      return [Number(tid), Number(text.split(' ')[0]) / 1e9];
    }),
  );
}
