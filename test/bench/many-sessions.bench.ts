import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, it } from 'vitest';
import { inParallel } from '../../cli/attach-all.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { Figures, sum } from './figures.js';
import { attachWords, environment, startGuest, type Guest } from './session-guest.js';

/*
 * Sessions in many machines at once beside one after the other: what each of them costs in processor time
 * of ours, and for how long its guest stands. The guests, under TCG, all begin with the same saved state,
 * and are idle but for the sessions.
 */
const machines = Number(process.env['DEBLOAT_BENCH_MACHINES'] ?? 4);
/** What `debloat attach --all` has under way at once if not told otherwise. */
const atATime = 4;

const directory = mkdtempSync(join(tmpdir(), 'debloat-bench-'));
const figures = new Figures('many-sessions');
let overlay: string;
const guests: Guest[] = [];

beforeAll(async () => {
  overlay = makeOverlayImage(directory);
  for (let n = 0; n < machines; n++) {
    guests.push(
      await startGuest(directory, {
        ...{ saved: true, memory: 128, script: 'mkdir -p /dev/pts\n' },
      }),
    );
  }
});
afterAll(async () => {
  for (const guest of guests) await guest.stop();
  figures.write();
  rmSync(directory, { recursive: true, force: true });
});

/** In milliseconds. */
interface Cost {
  processor: number;
  stopped: number;
  ready: number;
}

/** A whole session, in a process of its own whose processor time the shell tells. */
async function session(guest: Guest, cache: string): Promise<Cost> {
  const words = attachWords(guest, overlay, '--format', 'json', '--quiet', '--exec', 'true');
  const { stdout, stderr } = await execa(
    'bash',
    ['-c', 'TIMEFORMAT="%3U %3S"; time "$@"', 'bash', process.execPath, ...words],
    { env: environment(cache), timeout: 300_000 },
  );
  const [user = NaN, system = NaN] = (stderr.trim().split('\n').at(-1) ?? '')
    .split(' ')
    .map(Number);
  const { milliseconds } = JSON.parse(stdout) as { milliseconds: Record<string, number> };
  return {
    processor: (user + system) * 1000,
    stopped: milliseconds['stopped'] ?? NaN,
    ready: milliseconds['total'] ?? NaN,
  };
}

it(`costs each of ${machines} machines at once what it costs one`, async () => {
  const cache = mkdtempSync(join(directory, 'cache-'));
  for (const guest of guests) await session(guest, cache); // kernel known, modules and files in the guest's caches
  const run = async (most: number) => {
    const begun = performance.now();
    const costs = await inParallel(guests, most, (guest) => session(guest, cache));
    const mean = (cost: (each: Cost) => number) => sum(costs.map(cost)) / costs.length;
    return {
      costs,
      all: mean(({ processor, stopped }) => processor + stopped),
      processor: mean(({ processor }) => processor),
      stopped: mean(({ stopped }) => stopped),
      wall: performance.now() - begun,
    };
  };
  const alone = await run(1);
  const bounded = await run(atATime);
  const together = await run(machines);
  Object.assign(figures.details, { alone, bounded, together });
  for (const [name, many, limit] of [
    [`${machines} machines, ${atATime} at a time as with --all`, bounded, { atMost: 1.3 }],
    [`${machines} machines, all at once`, together, {}],
  ] as const) {
    figures.compare(
      `processor and stopped time per machine, ${name} : one by one`,
      [many.all, alone.all],
      ...(['ms', limit] as const),
    );
    figures.compare(
      'processor time per machine, likewise',
      [many.processor, alone.processor],
      'ms',
    );
    figures.compare('stopped per machine, likewise', [many.stopped, alone.stopped], 'ms');
    figures.compare('wall time, likewise', [many.wall, alone.wall], 'ms');
  }
});
