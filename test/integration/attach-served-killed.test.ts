import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { allSteps, everyStep, KilledSession, tellingScript } from '../support/killed-session.js';
import { hiddenOverlay, startSandboxedGuest } from '../support/sandboxed-guest.js';
import { MonitorProxy } from '../support/stub-proxy.js';
import type { TcgGuest } from '../vm/tcg-guest.js';

/** Sessions whose overlay is served by their own process, which is killed. */

const directory = mkdtempSync(join(tmpdir(), 'debloat-served-killed-'));
let guest: TcgGuest;
let proxy: MonitorProxy;
let sessions: KilledSession;

beforeAll(async () => {
  const overlay = hiddenOverlay(directory);
  const started = await startSandboxedGuest(directory, {
    ...{ sharedMemory: true, script: tellingScript },
  });
  guest = started.guest;
  const way = join(directory, 'proxy');
  proxy = new MonitorProxy(way, started.qmp, /(chardev|device)[-_](add|del|remove)/);
  sessions = new KilledSession(guest, proxy, ['--overlay', overlay, '--qmp', way]);
});

afterAll(async () => {
  proxy.close();
  await guest.stop();
  rmSync(directory, { recursive: true });
});

/** What a session leaves in the hypervisor, and here. */
async function left() {
  const devices = (await guest.qmp('query-chardev')) as { label: string }[];
  return [
    ...devices.map(({ label }) => label).filter((label) => label.includes('debloat')),
    ...(await guest.monitor('info qtree')).split('\n').filter((line) => line.includes('debloat')),
    ...readdirSync('/tmp').filter((name) => name.startsWith('debloat-disk-')),
  ];
}

it('leaves nothing when it was killed and `debloat doctor --fix` was run', async () => {
  const others = await left();
  expect(await sessions.run(), sessions.said).toBe(0);
  expect(sessions.said).toContain('vhost-user');
  expect(await left()).toEqual(others);
  const before = await sessions.tick();
  const steps = allSteps(proxy.packets);
  // Where there is a socket and no disk, and where the hypervisor waits for the disk's server.
  const some = steps.filter(({ when }) => when === 'sent').slice(0, 2);
  for (const step of everyStep ? steps : some) {
    const name = await sessions.killAt(step, ['doctor', '--fix']);
    expect(await left(), name).toEqual(others);
  }
  const after = await sessions.tick();
  expect(after.state).toBe(before.state);
  expect(await sessions.run(), sessions.said).toBe(0);
});
