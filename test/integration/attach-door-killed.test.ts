import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { everyStep, KilledSession, stepsOf, tellingScript } from '../support/killed-session.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { MonitorProxy, type KillAt } from '../support/stub-proxy.js';
import { startTcgGuest, type TcgGuest } from '../vm/tcg-guest.js';

/** Sessions that are killed while the monitor has opened a gdb stub for them, or is about to. */

const directory = mkdtempSync(join(tmpdir(), 'debloat-door-killed-'));
const sockets = join(directory, 'tmp');
afterAll(() => rmSync(directory, { recursive: true }));

let guest: TcgGuest;
let proxy: MonitorProxy;
let sessions: KilledSession;

beforeAll(async () => {
  mkdirSync(sockets);
  const overlay = makeOverlayImage(directory);
  const qmp = join(directory, 'second');
  guest = await startTcgGuest({
    ...{ suite: 'bookworm', directory, cpus: 2, script: tellingScript },
    modules: ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay'],
    devices: ['-qmp', `unix:${qmp},server=on,wait=off`],
  });
  const way = join(directory, 'proxy');
  proxy = new MonitorProxy(way, qmp);
  const options = ['--overlay', overlay, '--qmp', way];
  sessions = new KilledSession(guest, proxy, options, { TMPDIR: sockets });
});

afterAll(async () => {
  proxy.close();
  await guest.stop();
});

/** What a session leaves open in the hypervisor, and here. */
async function left() {
  const devices = (await guest.qmp('query-chardev')) as { label: string }[];
  return [
    ...devices.map(({ label }) => label).filter((label) => label.includes('gdb')),
    ...readdirSync(sockets),
  ];
}

/** One of each kind that leaves something else behind, and that each session has. */
const some: KillAt[] = [
  { kind: 'gdbserver unix', nth: 0, when: 'answered' },
  { kind: 'g', nth: 0, when: 'answered' },
  { kind: 'P10', nth: 0, when: 'answered' },
  { kind: 'D', nth: 1, when: 'sent' },
  { kind: 'gdbserver none', nth: 1, when: 'before' },
  { kind: 'gdbserver none', nth: 1, when: 'answered' },
];

it('closes the stub that a killed session had opened by the monitor, and the machine goes on', async () => {
  const steps = everyStep ? stepsOf(await sessions.packets()) : some;
  expect(await left()).toEqual([]);
  const before = await sessions.tick();
  const recoveries = [
    ['doctor', '--fix'],
    ['detach', 'killed'],
    ['attach', `qemu://${guest.pid}`, ...sessions.options, '--session', 'next', '--', 'true'],
  ];
  for (const [n, step] of steps.entries()) {
    const name = await sessions.killAt(step, recoveries[n % recoveries.length]);
    expect(await left(), name).toEqual([]);
  }
  expect(sessions.killed).toBeGreaterThanOrEqual(everyStep ? 15 : some.length);
  const after = await sessions.tick();
  expect(after.state).toBe(before.state);
  expect(before.free - after.free).toBeLessThan(4096);
});
