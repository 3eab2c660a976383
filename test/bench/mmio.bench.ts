import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MmioServer } from '../../attacher/virtio/mmio/mmio-server.js';
import { builtServer, compileGuest, GuestProcess, positionImage } from '../support/mmio-guest.js';

const bytes = 256 << 20;
const repeats = 5;
const settings = [false, true].flatMap((preload) =>
  [
    { preload, depth: 1, blockBytes: 4096 },
    { preload, depth: 32, blockBytes: 4096 },
    { preload, depth: 4, blockBytes: 131_072 },
  ].flatMap((each) => [true, false].map((shared) => ({ ...each, shared }))),
);
type Setting = (typeof settings)[number];

let Server: typeof MmioServer;
let image: string;
let remove: () => void;
beforeAll(async () => {
  remove = compileGuest();
  Server = await builtServer();
  image = positionImage('bench', bytes);
});
afterAll(() => remove());

it('memory of another process is served at a good part of the speed of mapped memory', async () => {
  const rates = settings.map((): number[] => []);
  const costs = settings.map((): number[] => []);
  // Interleaved, so that what else the machine does falls on all alike.
  for (let n = 0; n < repeats; n++) {
    for (const [index, setting] of settings.entries()) {
      const { rate, cost } = await measure(setting);
      rates[index]?.push(rate);
      costs[index]?.push(cost);
    }
  }
  console.table(
    settings.map(({ preload, depth, blockBytes, shared }, index) => ({
      disk: preload ? 'preloaded' : 'file',
      depth,
      'bytes each': blockBytes,
      memory: shared ? 'mapped' : 'process',
      ...summary('IOPS', rates[index] ?? [], 0),
      ...summary('CPU µs each', costs[index] ?? [], 1),
    })),
  );
  for (const [index, { depth, shared }] of settings.entries()) {
    if (depth !== 32 || shared) continue;
    expect(median(rates[index] ?? []) / median(rates[index - 1] ?? [])).toBeGreaterThan(0.2);
  }
});

/** Requests in a second, and processor time of ours for each in µs. */
async function measure(setting: Setting): Promise<{ rate: number; cost: number }> {
  const { preload, depth, blockBytes, shared } = setting;
  const work = { depth, blockBytes, blocks: bytes / blockBytes, seconds: 1, writes: 0 };
  const guest = new GuestProcess({ ...work, shared });
  const options = await guest.options();
  const disk = { image, mode: 'read-only' as const, preload };
  const server = await Server.start({ ...options, disk, takeOver: false }, () => undefined);
  const before = process.cpuUsage();
  const began = performance.now();
  const { operations, seconds } = await guest.run();
  const elapsed = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(before);
  server.stop();
  const { statistics } = await server.ended;
  guest.close();
  // What the guest says of itself is what we served, in the time that passed here.
  expect(statistics.reads).toBe(operations);
  expect(Math.abs(elapsed - seconds)).toBeLessThan(0.25);
  return { rate: operations / seconds, cost: (user + system) / operations };
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

function summary(name: string, values: number[], digits: number): Record<string, string> {
  const range = `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
  return { [name]: median(values).toFixed(digits), [`${name}, range`]: range };
}
