import { execa } from 'execa';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gdbSessions } from '../../attacher/gdb/journal.js';
import { GdbStub } from '../../attacher/gdb/stub.js';
import { runCli, runCliWell } from '../support/cli.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { StubProxy, type KillAt } from '../support/stub-proxy.js';
import { startTcgGuest, type TcgGuest } from '../vm/tcg-guest.js';

/** Sessions through a gdb stub that are killed at each step of what they have a processor of the guest do. */

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'debloat-stub-killed-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** What must be the same afterwards, how much memory is free (kB), and that it goes on. */
const script = `
mkdir -p /dev/pts
while :; do
  n=$((n+1))
  free=$(sed -n 's/MemFree: *\\([0-9]*\\).*/\\1/p' /proc/meminfo)
  echo "tick $n $free state $(ls -A / /dev /tmp /sys/block | md5sum) $(md5sum </proc/mounts) debloat:$(ps | grep -c '[d]ebloat-')"
  sleep 0.3
done &
`;

interface Tick {
  number: number;
  free: number;
  state: string;
}

/** Each step takes some seconds, and all of them minutes: of each kind the first is tried, unless asked for. */
const everyStep = process.env['DEBLOAT_TEST_EVERY_STEP'] !== undefined;

function firstOfEach(steps: KillAt[], packets: string[]): KillAt[] {
  // Of the registers those with the call's address and flags are kinds of their own.
  const kindOf = (packet = '') => /^P(?!1[01]=)/.exec(packet)?.[0] ?? packet.split(/[,;:=]/)[0];
  const kind = ({ packet, when }: KillAt) => `${when} ${kindOf(packets[packet])}`;
  return steps.filter((step, n) => !steps.slice(0, n).some((other) => kind(other) === kind(step)));
}

describe('a session through a gdb stub that is killed', () => {
  let guest: TcgGuest;
  let proxy: StubProxy;
  let overlay: string;
  let words: string[];
  let way: string;
  let killed = 0;
  /** What the last session told on stderr. */
  let said = '';

  beforeAll(async () => {
    overlay = makeOverlayImage(directory);
    const qmp = join(directory, 'second');
    guest = await startTcgGuest({
      ...{ suite: 'bookworm', directory, gdb: true, cpus: 2, script },
      modules: ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay'],
      devices: ['-qmp', `unix:${qmp},server=on,wait=off`],
    });
    way = join(directory, 'proxy');
    proxy = await StubProxy.listen(way, join(directory, 'gdb'));
    words = [
      ...[main, 'attach', `qemu://${guest.pid}`, '--overlay', overlay],
      ...['--qmp', qmp, '--gdb', way, '--session', 'killed', '--', 'true'],
    ];
  });

  afterAll(async () => {
    proxy.close();
    await guest.stop();
  });

  const ticks = (): Tick[] =>
    [...guest.console().matchAll(/^tick (\d+) (\d+) state (.*)$/gm)].map(
      ([, number = '', free = '', state = '']) => ({
        ...{ number: Number(number), free: Number(free), state: state.trim() },
      }),
    );

  /** The next tick but one, which began after this call; fails if there is none: the guest does not go on. */
  const tick = async (): Promise<Tick> => {
    const from = ticks().length;
    for (let left = 150; left > 0; left--) {
      const now = ticks()[from + 1];
      if (now) return now;
      await sleep(100);
    }
    throw new Error(`the guest does not go on:\n${guest.console().slice(-2000)}`);
  };

  /** Attach, to be killed there; the exit code, undefined if it was killed. */
  const session = async (at?: KillAt): Promise<number | undefined> => {
    const run = execa(process.execPath, words, { stdin: 'ignore', reject: false });
    proxy.watch(at, () => run.kill('SIGKILL'));
    const { exitCode, stderr } = await run;
    said = stderr;
    proxy.pass();
    return exitCode;
  };

  /** Be killed there, and recover; the guest goes on then. */
  const killAt = async (at: KillAt): Promise<string> => {
    const code = await session(at);
    const name = `${at.when} ${at.packet}: ${proxy.packets[at.packet] ?? 'nothing'}`;
    // One that came sooner to the scheduler has fewer packets than the first.
    if (code === 0 && proxy.packets.length <= at.packet) return name;
    expect(code, `${name}\n${said}`).toBeUndefined();
    killed++;
    expect((await runCli(['detach', 'killed'])).code, name).toBe(0);
    expect(gdbSessions(guest.pid), name).toEqual([]);
    await tick();
    expect(guest.console(), name).not.toMatch(/BUG:|Oops|Call Trace|Kernel panic/);
    return name;
  };

  it('leaves a guest that goes on, wherever in a call it was, and nothing is lost there', async () => {
    expect(await session(), said).toBe(0);
    const before = await tick();
    const all = [...proxy.packets];
    // From the first breakpoint on; of the registers, which are set one by one, some.
    const first = all.findIndex((packet) => packet.startsWith('Z0'));
    expect(first).toBeGreaterThan(0);
    const steps = all.flatMap((packet, number): KillAt[] => {
      const kind = packet.split(/[,;:=]/)[0] ?? '';
      const previous = all[number - 1]?.split(/[,;:=]/)[0];
      const repeated = kind.startsWith('P') && previous?.startsWith('P') === true;
      const isLast = all[number + 1]?.startsWith('P') !== true;
      if (number < first || /^[gq]/.test(packet)) return [];
      if (repeated && !isLast && kind !== 'P11' && number % 4 !== 0) return [];
      if (!packet.startsWith('vCont;c')) return [{ packet: number, when: 'before' }];
      // Where we stop it ourselves nothing is answered before.
      const stops = all[number + 1] !== '\x03';
      return (['before', 'sent', ...(stops ? (['answered'] as const) : [])] as const).map(
        (when) => ({
          ...{ packet: number, when },
        }),
      );
    });
    const seen: string[] = [];
    for (const step of everyStep ? steps : firstOfEach(steps, all)) seen.push(await killAt(step));
    for (const kind of ['Z0', 'M', 'P10', 'P11', 'vCont;c', 'z0', 'D']) {
      expect(
        seen.some((step) => step.includes(`: ${kind}`)),
        kind,
      ).toBe(true);
    }
    expect(killed).toBeGreaterThan(everyStep ? 30 : 8);

    const after = await tick();
    expect(after.state).toBe(before.state);
    // What a guest has free comes and goes; the pages of a session at each eighth kill would be more.
    expect(before.free - after.free).toBeLessThan(4096);
    expect(await session()).toBe(0);
  });

  it('leaves a guest that goes on where a function was in its midst, by doctor and by detach', async () => {
    expect(await session(), said).toBe(0);
    const before = await tick();
    // A call writes its return address, and is begun; the last before the machine is left is not come back from.
    const after = (packet: number, kind: string) =>
      proxy.packets.findIndex((each, n) => n > packet && each === kind);
    const begun = proxy.packets.flatMap((packet, number) =>
      packet.startsWith('M') && after(number, 'vCont;c') >= 0 ? [after(number, 'vCont;c')] : [],
    );
    const left = proxy.packets.flatMap((packet, number) => (packet === 'D' ? [number] : []));
    expect([begun.length, left.length]).toEqual([1, 2]);
    for (const [n, packet] of [...begun, ...left].entries()) {
      const kind = begun.includes(packet) ? 'vCont;c' : 'D';
      const code = await session({ packet, when: 'before' });
      expect([code, proxy.packets[packet]]).toEqual([undefined, kind]);
      const [behind] = gdbSessions(guest.pid);
      const { point, functions } = behind?.record ?? {};
      expect(point === undefined).toBe(kind === 'D');
      const stub = await GdbStub.connect({ path: way });
      // At the first instruction of what it calls: the kernel's, or the stage's, which is below the kernel.
      const isThere = (rip: bigint) =>
        [point?.call?.function, functions?.freePages].includes(rip.toString(16)) ||
        (rip >= 0xffffff80_00000000n && rip < 0xffffffff_00000000n);
      let thread: string | undefined;
      for (const each of await stub.threads()) {
        await stub.select(each);
        if (isThere((await stub.registers()).get('rip') ?? 0n)) thread = each;
      }
      if (thread === undefined) throw new Error('no processor is where it was left');
      // Of its instructions it does some, and its processor stands then.
      for (let steps = 8; steps > 0; steps--) await stub.step(thread);
      await stub.abandon();
      expect((await runCliWell(['sessions'])).stdout).toMatch(/^killed .*left behind$/m);
      const fix = n % 2 === 0 ? ['doctor', '--fix'] : ['detach', 'killed'];
      await runCli(fix);
      expect((await runCliWell(['sessions'])).stdout).not.toContain('killed');
      await tick();
    }
    const end = await tick();
    expect(end.state).toBe(before.state);
    expect(before.free - end.free).toBeLessThan(4096);
    expect(guest.console()).not.toMatch(/BUG:|Oops|Call Trace|Kernel panic/);
  });
});
