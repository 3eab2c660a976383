import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gdbSessions } from '../../attacher/gdb/journal.js';
import { GdbStub } from '../../attacher/gdb/stub.js';
import { runCli, runCliWell } from '../support/cli.js';
import {
  everyStep,
  firstOfEach,
  KilledSession,
  stepsOf,
  tellingScript,
  type Tick,
} from '../support/killed-session.js';
import { expectNoComplaint } from '../support/guest-health.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { StubProxy } from '../support/stub-proxy.js';
import { startTcgGuest, type TcgGuest } from '../vm/tcg-guest.js';

/** Sessions through a gdb stub that are killed at each step of what they have a processor of the guest do. */

const directory = mkdtempSync(join(tmpdir(), 'debloat-stub-killed-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('a session through a gdb stub that is killed', () => {
  let guest: TcgGuest;
  let proxy: StubProxy;
  let overlay: string;
  let way: string;
  let sessions: KilledSession;

  beforeAll(async () => {
    overlay = makeOverlayImage(directory);
    const qmp = join(directory, 'second');
    guest = await startTcgGuest({
      ...{ suite: 'bookworm', directory, gdb: true, cpus: 2, script: tellingScript },
      modules: ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay'],
      devices: ['-qmp', `unix:${qmp},server=on,wait=off`],
    });
    way = join(directory, 'proxy');
    proxy = new StubProxy(way, join(directory, 'gdb'));
    const options = ['--overlay', overlay, '--qmp', qmp, '--gdb', way];
    sessions = new KilledSession(guest, proxy, options);
  });

  afterAll(async () => {
    proxy.close();
    await guest.stop();
  });

  it('leaves a guest that goes on, wherever it was, and nothing is lost there', async () => {
    const all = await sessions.packets();
    const before = await sessions.tick();
    const steps = stepsOf(all);
    const seen: string[] = [];
    for (const step of everyStep ? steps : firstOfEach(steps))
      seen.push(await sessions.killAt(step));
    const moments = ['before', 'sent', 'answered'];
    const sure = ['g', 'P10', 'D'].flatMap((kind) => moments.map((when) => `${when} ${kind} 0`));
    expect(seen).toEqual(expect.arrayContaining(sure));
    expect(sessions.killed).toBeGreaterThan(7);
    await isAsBefore(guest, sessions, before);
  });

  it('leaves a guest that goes on where a processor was in the midst of the stage, by doctor and by detach', async () => {
    expect(await sessions.run(), sessions.said).toBe(0);
    const before = await sessions.tick();
    for (const fix of [
      ['doctor', '--fix'],
      ['detach', 'killed'],
    ]) {
      // It lets the machine go after its look at it, of which it may need more than one, and then when
      // it has sent a processor to the stage.
      const isSent = () => proxy.packets.some((packet) => packet.startsWith('P10='));
      for (let tries = 10; tries > 0; tries--) {
        const code = await sessions.run({ kind: 'D', nth: 1, when: 'before' });
        expect(code, sessions.said).toBeUndefined();
        if (isSent()) break;
        await runCliWell(['detach', 'killed']);
      }
      expect(isSent()).toBe(true);
      const [behind] = gdbSessions(guest.pid);
      const { entrance, virtual, size } = behind?.record.block ?? {};
      const stub = await GdbStub.connect({ path: way });
      const rips = async () => {
        const found = new Map<string, bigint>();
        for (const thread of await stub.threads()) {
          await stub.select(thread);
          found.set(thread, (await stub.registers()).get('rip') ?? 0n);
        }
        return [...found];
      };
      const [thread] = (await rips()).find(([, rip]) => rip.toString(16) === entrance) ?? [];
      if (thread === undefined) throw new Error('no processor is where it was sent');
      // Of its instructions it does some, unless it waits for an interrupt, and its processor stands then.
      for (let steps = 8; steps > 0; steps--) await stub.step(thread);
      const start = BigInt(`0x${virtual ?? ''}`);
      const isInside = (rip: bigint) => rip >= start && rip < start + BigInt(size ?? 0);
      expect((await rips()).some(([, rip]) => isInside(rip))).toBe(true);
      await stub.abandon();
      expect((await runCliWell(['sessions'])).stdout).toMatch(/^killed .*left behind$/m);
      await runCli(fix);
      expect((await runCliWell(['sessions'])).stdout).not.toContain('killed');
      await sessions.tick();
      expect(await sessions.run(), sessions.said).toBe(0);
    }
    await isAsBefore(guest, sessions, before);
  });
});

describe('a session through a gdb stub of a guest whose processors are busy with programs', () => {
  it('comes by the scheduler, and can be killed on its way', { timeout: 900_000 }, async () => {
    const own = mkdtempSync(join(directory, 'busy-'));
    const qmp = join(own, 'second');
    const busy = await startTcgGuest({
      ...{ suite: 'bookworm', directory: own, gdb: true, cpus: 2 },
      script: `${tellingScript}\nfor n in 1 2 3 4 5 6; do sh -c 'while :; do :; done' & done\n`,
      modules: ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay'],
      devices: ['-qmp', `unix:${qmp},server=on,wait=off`],
    });
    const way = join(own, 'proxy');
    const proxy = new StubProxy(way, join(own, 'gdb'));
    try {
      const options = ['--overlay', makeOverlayImage(own), '--qmp', qmp, '--gdb', way];
      const sessions = new KilledSession(busy, proxy, options);
      let all: string[] = [];
      // It happens that one of them is in the kernel just then.
      for (let tries = 20; tries > 0 && !all.some((each) => each.startsWith('Z0')); tries--) {
        expect(await sessions.run(), sessions.said).toBe(0);
        all = [...proxy.packets];
      }
      const before = await sessions.tick();
      expect(all.findIndex((each) => each.startsWith('Z0'))).toBeGreaterThan(0);
      // The rest is as in other sessions.
      const steps = stepsOf(all).filter(({ kind }) => /^([Zz]0|vCont)$/.test(kind));
      for (const step of everyStep ? steps : firstOfEach(steps)) await sessions.killAt(step);
      expect(sessions.killed).toBeGreaterThan(2);
      await isAsBefore(busy, sessions, before);
    } finally {
      proxy.close();
      await busy.stop();
    }
  });
});

/** After all that was killed in it. */
async function isAsBefore(guest: TcgGuest, sessions: KilledSession, before: Tick): Promise<void> {
  const after = await sessions.tick();
  expect(after.state).toBe(before.state);
  // What a guest has free comes and goes; what a session has there at each kill would be more.
  expect(before.free - after.free).toBeLessThan(4096);
  expect(await sessions.run(), sessions.said).toBe(0);
  expectNoComplaint(guest.console());
}
