import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, it } from 'vitest';
import { makeOverlayImage } from '../support/overlay-image.js';
import { Figures, sum } from './figures.js';
import { attachWords, environment, startGuest, type Guest } from './session-guest.js';

/*
 * Sessions in many machines at once beside one after the other: what each of them costs in processor time
 * of ours, and for how long its guest stands. The guests, under TCG, all begin with the same saved state,
 * and are idle but for the sessions.
 */
const machines = Number(process.env['DEBLOAT_BENCH_MACHINES'] ?? 4);
const rounds = Number(process.env['DEBLOAT_BENCH_ROUNDS'] ?? 1);

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
  const alone: Cost[] = [];
  const together: Cost[] = [];
  const wall = { alone: 0, together: 0 };
  for (let round = 0; round < rounds; round++) {
    let begun = performance.now();
    for (const guest of guests) alone.push(await session(guest, cache));
    wall.alone += performance.now() - begun;
    begun = performance.now();
    together.push(...(await Promise.all(guests.map((guest) => session(guest, cache)))));
    wall.together += performance.now() - begun;
  }
  figures.details['one after the other (ms)'] = alone;
  figures.details['all at once (ms)'] = together;
  const mean = (all: readonly Cost[], cost: (each: Cost) => number) =>
    sum(all.map(cost)) / all.length;
  const pair = (cost: (each: Cost) => number) => [mean(together, cost), mean(alone, cost)] as const;
  figures.compare(
    `processor and stopped time per machine, ${machines} at once : one`,
    pair(({ processor, stopped }) => processor + stopped),
    'ms',
    { atMost: 1.3 },
  );
  figures.compare(
    'processor time per machine, likewise',
    pair(({ processor }) => processor),
    'ms',
  );
  figures.compare(
    'stopped per machine, likewise',
    pair(({ stopped }) => stopped),
    'ms',
  );
  figures.compare(
    'wall time, all at once : one after the other',
    [wall.together, wall.alone],
    'ms',
  );
});
