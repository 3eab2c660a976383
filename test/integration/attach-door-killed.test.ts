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

/** One of each kind that leaves something else behind. */
function some(steps: KillAt[], packets: readonly string[]): KillAt[] {
  const first = (kind: string, when: KillAt['when']): KillAt => {
    const found = steps.find(
      (step) => packets[step.packet]?.startsWith(kind) && step.when === when,
    );
    return found ?? { packet: packets.findIndex((packet) => packet.startsWith(kind)), when };
  };
  return [
    first('gdbserver unix', 'answered'),
    first('qSupported', 'answered'),
    first('vCont;c', 'sent'),
    first('gdbserver none', 'before'),
    first('gdbserver none', 'answered'),
  ];
}

it('closes the stub that a killed session had opened by the monitor, and the machine goes on', async () => {
  expect(await sessions.run(), sessions.said).toBe(0);
  expect(await left()).toEqual([]);
  const before = await sessions.tick();
  const all = [...proxy.packets];
  const recoveries = [
    ['doctor', '--fix'],
    ['detach', 'killed'],
    ['attach', `qemu://${guest.pid}`, ...sessions.options, '--session', 'next', '--', 'true'],
  ];
  const steps = stepsOf(all);
  for (const [n, step] of (everyStep ? steps : some(steps, all)).entries()) {
    const name = await sessions.killAt(step, recoveries[n % recoveries.length]);
    expect(await left(), name).toEqual([]);
  }
  expect(sessions.killed).toBeGreaterThanOrEqual(everyStep ? 45 : 5);
  const after = await sessions.tick();
  expect(after.state).toBe(before.state);
  expect(before.free - after.free).toBeLessThan(4096);
});
