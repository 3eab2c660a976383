import { afterAll, beforeAll, expect, it } from 'vitest';
import { builtServer, compileGuest, GuestProcess, positionImage } from '../support/mmio-guest.js';

let remove: () => void;
beforeAll(() => {
  remove = compileGuest();
});
afterAll(() => remove());

const bytes = 256 << 20;

it('memory of another process is served at a good part of the speed of mapped memory', async () => {
  const Server = await builtServer();
  const image = positionImage('bench', bytes);
  const rows: Record<string, string | number>[] = [];
  const rates = new Map<string, number>();
  for (const preload of [false, true]) {
    for (const [depth, blockBytes] of [
      [1, 4096],
      [32, 4096],
      [4, 131_072],
    ] as const) {
      for (const shared of [true, false]) {
        const work = { depth, blockBytes, blocks: bytes / blockBytes, seconds: 4, writes: 0 };
        const guest = new GuestProcess({ ...work, shared });
        const options = await guest.options();
        const disk = { image, mode: 'read-only' as const, preload };
        const server = await Server.start({ ...options, disk, takeOver: false }, () => undefined);
        const before = process.cpuUsage();
        const { operations, seconds, notifications, interrupts } = await guest.run();
        const { user, system } = process.cpuUsage(before);
        server.stop();
        await server.ended;
        guest.close();
        const rate = operations / seconds;
        rates.set(`${preload} ${depth} ${blockBytes} ${shared}`, rate);
        rows.push({
          disk: preload ? 'preloaded' : 'file',
          depth,
          'bytes each': blockBytes,
          memory: shared ? 'mapped' : 'process',
          IOPS: Math.round(rate),
          'CPU µs each': ((user + system) / operations).toFixed(1),
          'requests per kick': (operations / notifications).toFixed(1),
          'per interrupt': (operations / interrupts).toFixed(1),
        });
      }
    }
  }
  console.table(rows);
  for (const preload of [false, true]) {
    const rate = (shared: boolean) => rates.get(`${preload} 32 4096 ${shared}`) ?? 0;
    expect(rate(false) / rate(true)).toBeGreaterThan(0.25);
  }
}, 300_000);
