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
  const of = (kind: string, when: KillAt['when'], which: 'find' | 'findLast' = 'findLast') => {
    const found = steps[which](
      (step) => packets[step.packet]?.startsWith(kind) === true && step.when === when,
    );
    if (found === undefined) throw new Error(`there is no ${kind} among ${packets.join(' ')}`);
    return found;
  };
  return [
    of('gdbserver unix', 'answered', 'find'),
    of('g', 'answered', 'find'),
    of('P10', 'answered'),
    of('D', 'sent'),
    of('gdbserver none', 'before'),
    of('gdbserver none', 'answered'),
  ];
}

it('closes the stub that a killed session had opened by the monitor, and the machine goes on', async () => {
  const all = await sessions.packets();
  expect(await left()).toEqual([]);
  const before = await sessions.tick();
  const recoveries = [
    ['doctor', '--fix'],
    ['detach', 'killed'],
    ['attach', `qemu://${guest.pid}`, ...sessions.options, '--session', 'next', '--', 'true'],
  ];
  const steps = stepsOf(all);
  for (const [n, step] of (everyStep ? steps : some(steps, all)).entries()) {
    const name = await sessions.killAtLike(all, step, recoveries[n % recoveries.length]);
    expect(await left(), name).toEqual([]);
  }
  // Sessions differ in how many processors they look at: not each comes to where it was to be killed.
  expect(sessions.killed).toBeGreaterThanOrEqual(everyStep ? 15 : 4);
  const after = await sessions.tick();
  expect(after.state).toBe(before.state);
  expect(before.free - after.free).toBeLessThan(4096);
});
