import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeOverlayImage } from '../support/overlay-image.js';
import { Figures, median, quantile, sum } from './figures.js';
import {
  attachWords,
  environment,
  Output,
  startGuest,
  Stops,
  until,
  type Guest,
} from './session-guest.js';

/*
 * What a session costs: the time to its prompt with the kernel known and not, a key's echo beside that of
 * QEMU's serial line, and how long the guest stands. Sessions go through the gdb stub of a guest under TCG.
 */
const rounds = { prompt: 5, stopped: 20, keys: 200 };
/** Milliseconds that a guest may stand in all. */
const mostStopped = 2.3;

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'debloat-bench-'));
const figures = new Figures('session');
const { rows, details } = figures;
let overlay: string;

beforeAll(() => (overlay = makeOverlayImage(directory)));
afterAll(() => {
  figures.write();
  rmSync(directory, { recursive: true, force: true });
});

/** Milliseconds of one session: what it says of itself, and from the command to the prompt of its shell. */
interface Session {
  prompt: number;
  prepare: number;
  guest: number;
  ready: number;
  stopped: number;
}

/** `debloat attach VM -- sh` at a terminal of its own, ended at its first prompt. */
async function sessionAtTerminal(guest: Guest, cache: string): Promise<Session> {
  const command = [process.execPath, ...attachWords(guest, overlay, '--', 'sh')].join(' ');
  const begun = performance.now();
  const typed = spawn('script', ['--quiet', '--command', command, '/dev/null'], {
    env: environment(cache),
  });
  const closed = once(typed, 'close');
  const output = new Output(typed);
  await until(
    () => /# (\x1b\[6n)?$/.test(output.text), // busybox asks where the cursor is
    () => output.text,
  );
  const prompt = performance.now() - begun;
  typed.stdin.write('exit\r');
  await until(
    () => output.text.includes('in all'),
    () => output.text,
  );
  typed.stdin.end();
  await closed;
  const figures =
    /prepared in (\d+) ms, (\d+) ms in the guest, ready after (\d+) ms; the machine stood ([\d.]+) ms/;
  const [, ...told] = figures.exec(output.text) ?? [];
  const [prepare = NaN, inGuest = NaN, ready = NaN, stopped = NaN] = told.map(Number);
  return { prompt, prepare, guest: inGuest, ready, stopped };
}

describe('a session in a guest', () => {
  let guest: Guest;
  /** How long the guest stood for each session, in milliseconds. */
  const stopped: number[] = [];
  let stops: Stops;
  beforeAll(async () => {
    guest = await startGuest(directory, {
      // The echo of its second serial line is the peer of our terminal's.
      script: 'mkdir -p /dev/pts\nstty -F /dev/ttyS1 115200\ncat /dev/ttyS1 >/dev/null &\n',
      devices: [
        ...['-chardev', `socket,id=line,path=${join(directory, 'line')},server=on,wait=off`],
        ...['-device', 'isa-serial,chardev=line,index=1'],
        ...['-qmp', `unix:${join(directory, 'events')},server=on,wait=off`],
      ],
    });
    stops = await Stops.watch(join(directory, 'events'));
  });
  afterAll(async () => {
    stops.close();
    await guest.stop();
  });

  it('is prepared sooner when the kernel is known', async () => {
    const known = mkdtempSync(join(directory, 'cache-'));
    await sessionAtTerminal(guest, known);
    const cold: Session[] = [];
    const warm: Session[] = [];
    const takeCold = async () =>
      cold.push(await sessionAtTerminal(guest, mkdtempSync(join(directory, 'cache-'))));
    const takeWarm = async () => warm.push(await sessionAtTerminal(guest, known));
    for (let round = 0; round < rounds.prompt; round++) {
      // In turns which of them is first.
      const [first, second] = round % 2 === 0 ? [takeCold, takeWarm] : [takeWarm, takeCold];
      await first();
      await second();
    }
    stopped.push(...[...cold, ...warm].map((each) => each.stopped));
    details['sessions, kernel not known (ms)'] = cold;
    details['sessions, kernel known (ms)'] = warm;
    const of = (name: keyof Session) =>
      [median(warm.map((each) => each[name])), median(cold.map((each) => each[name]))] as const;
    figures.compare('prepare, kernel known : not known', of('prepare'), 'ms', { atMost: 0.3 });
    figures.compare('in the guest, likewise', of('guest'), 'ms');
    figures.compare('stopped, likewise', of('stopped'), 'ms');
    figures.compare('ready, likewise', of('ready'), 'ms');
    figures.compare('command to prompt, likewise', of('prompt'), 'ms');
  });

  it('echoes a key', async () => {
    const words = [path('session-echo.js'), `${guest.pid}`, overlay, join(guest.own, 'second')];
    const { stdout } = await execa(
      process.execPath,
      [...words, join(directory, 'line'), `${rounds.keys}`],
      { timeout: 120_000 },
    );
    const { terminal, serial } = JSON.parse(stdout) as Record<'terminal' | 'serial', number[]>;
    const at = (share: number) => [quantile(terminal, share), quantile(serial, share)] as const;
    figures.compare('echo of a key, terminal : serial line, median', at(0.5), 'ms', { atMost: 2 });
    figures.compare('echo of a key, likewise, p90', at(0.9), 'ms');
  });

  it('stops the guest for moments', async () => {
    const cache = mkdtempSync(join(directory, 'cache-'));
    const told: number[] = [];
    const seen: number[] = [];
    const times: number[] = [];
    for (let round = 0; round < rounds.stopped; round++) {
      stops.take();
      const { stdout } = await execa(
        process.execPath,
        attachWords(guest, overlay, '--format', 'json', '--quiet', '--exec', 'true'),
        { env: environment(cache), timeout: 60_000 },
      );
      const { milliseconds } = JSON.parse(stdout) as { milliseconds: Record<string, number> };
      told.push(milliseconds['stopped'] ?? NaN);
      const each = stops.take();
      seen.push(sum(each));
      times.push(each.length);
    }
    details['stopped, each session (ms)'] = { told, seen, times, atTerminals: stopped };
    const row = (figure: string, values: number[], target = '-') =>
      rows.push({
        figure: `${figure} (${values.length}): median; longest`,
        ours: `${median(values).toFixed(2)} ms`,
        peer: `${Math.max(...values).toFixed(2)} ms`,
        ...{ target, met: target === '-' ? undefined : median(values) <= mostStopped },
      });
    row('stopped in all by each session, as QEMU tells', seen, `<= ${mostStopped}`);
    row('the same as ours tells, an upper bound', told);
    row('stopped by each session at a terminal', stopped);
    expect(median(times)).toBeGreaterThan(0);
    expect.soft(median(seen)).toBeLessThanOrEqual(mostStopped);
  });
});
