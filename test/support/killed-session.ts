import { execa } from 'execa';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { gdbSessions } from '../../attacher/gdb/journal.js';
import type { TcgGuest } from '../vm/tcg-guest.js';
import { runCli } from './cli.js';
import { expectNoComplaint } from './guest-health.js';
import { countOf, kindOf, type KillAt, type KillingProxy } from './stub-proxy.js';

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

/** Each message of a session that sent these, with when it may be killed there. */
export function allSteps(packets: readonly string[]): KillAt[] {
  return packets.flatMap((packet, number) => {
    const kind = kindOf(packet);
    const nth = countOf(packets.slice(0, number), kind);
    const moments = ['before', 'sent', 'answered'] as const;
    // Where we stop it ourselves nothing is answered before.
    const stops = packet.startsWith('vCont;c') && packets[number + 1] === '\x03';
    return moments.slice(0, stops ? 2 : 3).map((when) => ({ kind, nth, when }));
  });
}

/**
 * Where a session that sent these packets may be killed: wherever it has a stub opened or closed, and
 * at all that changes the machine or lets it go on.
 */
export function stepsOf(packets: readonly string[]): KillAt[] {
  return allSteps(packets).filter(({ kind }) => !/^[qH]/.test(kind));
}

export function firstOfEach(steps: KillAt[]): KillAt[] {
  return steps.filter(
    ({ kind, when }, n) =>
      n === steps.findIndex((step) => step.kind === kind && step.when === when),
  );
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

  /**
   * Be killed there, and recover by `debloat` with these words; the guest goes on then. One that looks at
   * fewer processors, or finds them elsewhere, may not come there: then another is tried.
   */
  async killAt(at: KillAt, recovery = ['detach', 'killed']): Promise<string> {
    const { guest, proxy } = this;
    const name = `${at.when} ${at.kind} ${at.nth}`;
    for (let tries = 6; tries > 0; tries--) {
      const code = await this.run(at);
      if (code === 0 && countOf(proxy.packets, at.kind) <= at.nth) continue;
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
    return `not ${name}`;
  }

  #ticks(): Tick[] {
    return [...this.guest.console().matchAll(/^tick (\d+) (\d+) state (.*)$/gm)].map(
      ([, number = '', free = '', state = '']) => ({
        ...{ number: Number(number), free: Number(free), state: state.trim() },
      }),
    );
  }
}
