import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeOverlayImage } from '../support/overlay-image.js';
import { Figures, median, sum } from './figures.js';
import {
  attachWords,
  environment,
  Output,
  startGuest,
  threadTimes,
  until,
  type Guest,
} from './session-guest.js';

/*
 * What an idle session takes from an application in the guest. Two guests run the same program, which never
 * waits, and take turns on one processor, some milliseconds each: what makes the machine slower or faster
 * meanwhile does so to both. The session is in one of them, then in the other. What it costs is in how the
 * ratio of their work differs then, each counted per second of its own virtual processor's running time;
 * what makes one guest slower than the other without it cancels out.
 */
const phases = Number(process.env['DEBLOAT_BENCH_PHASES'] ?? 8);
const windows = { count: 5, milliseconds: 2000 };
/** Until the stage, and our side, take a session for idle, in milliseconds (stage1/pump.c, polled-channel.ts). */
const untilIdle = 10_000;

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'debloat-bench-'));
const figures = new Figures('idle-session');
let overlay: string;
const guests: Guest[] = [];

beforeAll(async () => {
  overlay = makeOverlayImage(directory);
  const program = join(directory, 'count');
  execFileSync('gcc', ['-O2', '-static', '-nostdlib', '-o', program, path('count.c')]);
  const files = new Map([['count', readFileSync(program)]]);
  for (let n = 0; n < 2; n++) {
    guests.push(
      await startGuest(directory, {
        ...{ saved: true, memory: 256, files, script: 'mkdir -p /dev/pts\n/count &\n' },
      }),
    );
  }
});
afterAll(async () => {
  for (const guest of guests) await guest.stop();
  figures.write();
  rmSync(directory, { recursive: true, force: true });
});

const pin = (processor: number, tid: number) =>
  execFileSync('taskset', ['-p', '-c', `${processor}`, `${tid}`]);

/** The thread of a guest's only processor, alone with the other guest's on processor 1. */
async function pinned(guest: Guest): Promise<number> {
  const told = await guest.qmp('query-cpus-fast');
  const [{ 'thread-id': virtual } = { 'thread-id': 0 }] = told as { 'thread-id': number }[];
  for (const tid of threadTimes(guest.pid).keys()) pin(tid === virtual ? 1 : 0, tid);
  return virtual;
}

/** Where a guest's program is at the end of one of its lines. */
interface Mark {
  line: number;
  /** Seconds that the virtual processor has run, and all other threads of its machine. */
  virtual: number;
  others: number;
}

const lines = (guest: Guest) => [...guest.console().matchAll(/^work (\d+)\/\d+$/gm)];

async function mark(guest: Guest, virtual: number): Promise<Mark> {
  const line = lines(guest).length + 1;
  await until(
    () => lines(guest).length >= line,
    () => guest.console().slice(-500),
  );
  const times = threadTimes(guest.pid);
  const own = times.get(virtual) ?? NaN;
  return { line, virtual: own, others: sum([...times.values()]) - own };
}

interface Window {
  /** Work of the first guest, and of the second, per second of its virtual processor. */
  rates: readonly [number, number];
  /** Milliseconds that the other threads of their machines run in a second. */
  others: readonly [number, number];
}

async function watch(virtuals: readonly number[]): Promise<Window> {
  const marks = () => Promise.all(guests.map((guest, n) => mark(guest, virtuals[n] ?? 0)));
  const begun = performance.now();
  const before = await marks();
  await sleep(windows.milliseconds);
  const after = await marks();
  const seconds = (performance.now() - begun) / 1000;
  const each = guests.map((guest, n) => {
    const [from, to] = [before[n], after[n]];
    if (from === undefined || to === undefined) throw new Error('no mark');
    const own = lines(guest).slice(from.line, to.line);
    const work = sum(own.map(([, pieces]) => Number(pieces)));
    return {
      rate: work / (to.virtual - from.virtual),
      others: ((to.others - from.others) / seconds) * 1000,
    };
  });
  const pair = (name: 'rate' | 'others') =>
    [each[0]?.[name] ?? NaN, each[1]?.[name] ?? NaN] as const;
  return { rates: pair('rate'), others: pair('others') };
}

async function attach(guest: Guest, cache: string): Promise<ChildProcess> {
  const words = attachWords(guest, overlay, '--', 'sh', '-c', 'echo there; cat');
  const session = spawn('taskset', ['-c', '0', process.execPath, ...words], {
    env: environment(cache),
  });
  const output = new Output(session);
  await until(
    () => output.text.includes('there\n'),
    () => output.text,
    120,
  );
  return session;
}

it('takes nothing from an application in the guest while it is idle', async () => {
  const cache = mkdtempSync(join(directory, 'cache-'));
  const virtuals = await Promise.all(guests.map(pinned));
  const seen: { session: number; windows: Window[]; ours: number }[] = [];
  for (let phase = 0; phase < phases; phase++) {
    const session = [0, 1, 1, 0][phase % 4] ?? 0;
    const [guest] = guests.slice(session);
    if (guest === undefined) throw new Error('no guest');
    const attached = await attach(guest, cache);
    const closed = once(attached, 'close');
    const pid = attached.pid ?? 0;
    await sleep(untilIdle);
    const ours = sum([...threadTimes(pid).values()]);
    const begun = performance.now();
    const all: Window[] = [];
    for (let n = 0; n < windows.count; n++) all.push(await watch(virtuals));
    const spent = (sum([...threadTimes(pid).values()]) - ours) * 1e6;
    seen.push({ session, windows: all, ours: spent / (performance.now() - begun) });
    attached.stdin?.end();
    await closed;
  }
  figures.details['phases'] = seen;
  // Each phase of the first guest's session with one of the second's; windows of one phase are much alike.
  const of = (session: number) => seen.filter((phase) => phase.session === session);
  const windowsOf = (session: number) => of(session).flatMap((phase) => phase.windows);
  const [first, second] = [windowsOf(0), windowsOf(1)];
  const relative = (all: readonly Window[]) => median(all.map(({ rates: [a, b] }) => a / b));
  const ratios = of(0).map((phase, n) =>
    Math.sqrt(relative(phase.windows) / relative(of(1)[n]?.windows ?? [])),
  );
  const mean = sum(ratios) / ratios.length;
  const deviation = Math.sqrt(
    sum(ratios.map((ratio) => (ratio - mean) ** 2)) / (ratios.length - 1),
  );
  const error = deviation / Math.sqrt(ratios.length);
  figures.details['ratios'] = { ratios, mean, deviation, error };
  const rates = (all: Window[], n: 0 | 1) => all.map((window) => window.rates[n]);
  figures.compare(
    `work per second of the virtual processor, idle session : none (${ratios.map((ratio) => ratio.toFixed(3)).join(', ')}: mean; standard error ${error.toFixed(4)})`,
    [
      median([...rates(first, 0), ...rates(second, 1)]),
      median([...rates(first, 1), ...rates(second, 0)]),
    ],
    '/s',
    { atLeast: 0.98 },
    mean,
  );
  const others = (all: Window[], n: 0 | 1) => all.map((window) => window.others[n]);
  figures.compare(
    'running time of the machine’s other threads per second, likewise',
    [
      median([...others(first, 0), ...others(second, 1)]),
      median([...others(first, 1), ...others(second, 0)]),
    ],
    'ms',
  );
  figures.rows.push({
    figure: 'processor time of our process per second',
    ours: `${median(seen.map(({ ours }) => ours)).toFixed(2)} ms`,
    ...{ peer: '-', target: '-', met: undefined },
  });
  expect.soft(error, 'the machine is too unsteady for this figure').toBeLessThan(0.01);
});
