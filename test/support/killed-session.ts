import { execa } from 'execa';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { gdbSessions } from '../../attacher/gdb/journal.js';
import type { TcgGuest } from '../vm/tcg-guest.js';
import { runCli } from './cli.js';
import { expectNoComplaint } from './guest-health.js';
import type { KillAt, KillingProxy } from './stub-proxy.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** For a guest: what must be the same afterwards, how much memory is free (kB), and that it goes on. */
export const tellingScript = `
mkdir -p /dev/pts
while :; do
  n=$((n+1))
  free=$(sed -n 's/MemFree: *\\([0-9]*\\).*/\\1/p' /proc/meminfo)
  echo "tick $n $free state $(ls -A / /dev /tmp /sys/block | md5sum) $(md5sum </proc/mounts) debloat:$(ps | grep -c '[d]ebloat-')"
  sleep 0.3
done &
`;

export interface Tick {
  number: number;
  free: number;
  state: string;
}

/** Steps take seconds each, and all of them minutes: of each kind the first is tried, unless asked for. */
export const everyStep = process.env['DEBLOAT_TEST_EVERY_STEP'] !== undefined;

/**
 * Where a session that sent these packets may be killed: wherever it has a stub opened or closed, and
 * at all that changes the machine or lets it go on.
 */
export function stepsOf(packets: readonly string[]): KillAt[] {
  return packets.flatMap((packet, number): KillAt[] => {
    const at = (...when: KillAt['when'][]) => when.map((each) => ({ packet: number, when: each }));
    if (/^(gdbserver|D$|g$)/.test(packet)) return at('before', 'sent', 'answered');
    if (/^[qH]/.test(packet)) return [];
    // Where we stop it ourselves nothing is answered before.
    const stops = packet.startsWith('vCont;c') && packets[number + 1] === '\x03';
    return stops ? at('before', 'sent') : at('before', 'sent', 'answered');
  });
}

function kindOf(packet = ''): string | undefined {
  return packet.split(/[,;:=]/)[0];
}

export function firstOfEach(steps: KillAt[], packets: string[]): KillAt[] {
  const kind = ({ packet, when }: KillAt) => `${when} ${kindOf(packets[packet])}`;
  return steps.filter((step, n) => !steps.slice(0, n).some((other) => kind(other) === kind(step)));
}

/** Sessions named "killed" in a guest that runs `tellingScript`, which a proxy has killed. */
export class KilledSession {
  /** How many were. */
  killed = 0;
  /** What the last one told on stderr. */
  said = '';

  constructor(
    readonly guest: TcgGuest,
    readonly proxy: KillingProxy,
    /** Of `debloat attach`. */
    readonly options: readonly string[],
    readonly env: Record<string, string> = {},
  ) {}

  /** The next tick but one, which began after this call; fails if there is none: the guest does not go on. */
  async tick(): Promise<Tick> {
    const from = this.#ticks().length;
    for (let left = 150; left > 0; left--) {
      const now = this.#ticks()[from + 1];
      if (now) return now;
      await sleep(100);
    }
    throw new Error(`the guest does not go on:\n${this.guest.console().slice(-2000)}`);
  }

  /** What a session sends that had to look at one processor only, as most do. */
  async packets(): Promise<string[]> {
    for (let tries = 10; tries > 0; tries--) {
      expect(await this.run(), this.said).toBe(0);
      if (!this.proxy.packets.some((each) => each.startsWith('H'))) break;
    }
    return [...this.proxy.packets];
  }

  /** Attach, to be killed there; the exit code, undefined if it was killed. */
  async run(at?: KillAt): Promise<number | undefined> {
    const { guest, proxy, options, env } = this;
    const words = [
      'attach',
      `qemu://${guest.pid}`,
      ...options,
      '--session',
      'killed',
      '--',
      'true',
    ];
    const run = execa(process.execPath, [main, ...words], { stdin: 'ignore', reject: false, env });
    proxy.watch(at, () => run.kill('SIGKILL'));
    const { exitCode, stderr } = await run;
    this.said = stderr;
    proxy.pass();
    return exitCode;
  }

  /** Be killed there, and recover by `debloat` with these words; the guest goes on then. */
  async killAt(at: KillAt, recovery = ['detach', 'killed']): Promise<string> {
    const { guest, proxy } = this;
    const code = await this.run(at);
    const name = `${at.when} ${at.packet}: ${proxy.packets[at.packet] ?? 'nothing'}`;
    // One whose processor was where it could be sent has fewer packets than another.
    if (code === 0 && proxy.packets.length <= at.packet) return name;
    expect(code, `${name}\n${this.said}`).toBeUndefined();
    this.killed++;
    const { code: recovered, stderr } = await runCli(recovery, { env: this.env });
    // Of a doctor it tells how the machine is, too.
    if (recovery[0] !== 'doctor') expect(recovered, `${name}\n${stderr}`).toBe(0);
    expect(gdbSessions(guest.pid), name).toEqual([]);
    await this.tick();
    expectNoComplaint(guest.console(), name);
    return name;
  }

  /**
   * The same at a packet of the kind that an earlier session sent there: one may have to look at more
   * processors than another.
   */
  async killAtLike(packets: readonly string[], at: KillAt, recovery?: string[]): Promise<string> {
    let name = '';
    for (let tries = 6; tries > 0; tries--) {
      name = await this.killAt(at, recovery);
      if (kindOf(this.proxy.packets[at.packet]) === kindOf(packets[at.packet])) break;
    }
    return name;
  }

  #ticks(): Tick[] {
    return [...this.guest.console().matchAll(/^tick (\d+) (\d+) state (.*)$/gm)].map(
      ([, number = '', free = '', state = '']) => ({
        ...{ number: Number(number), free: Number(free), state: state.trim() },
      }),
    );
  }
}
