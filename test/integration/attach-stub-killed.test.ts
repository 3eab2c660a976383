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
} from '../support/killed-session.js';
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

  it('leaves a guest that goes on, wherever in a call it was, and nothing is lost there', async () => {
    expect(await sessions.run(), sessions.said).toBe(0);
    const before = await sessions.tick();
    const all = [...proxy.packets];
    const steps = stepsOf(all);
    const seen: string[] = [];
    for (const step of everyStep ? steps : firstOfEach(steps, all))
      seen.push(await sessions.killAt(step));
    for (const kind of ['Z0', 'M', 'P10', 'P11', 'vCont;c', 'z0', 'D']) {
      expect(
        seen.some((step) => step.includes(`: ${kind}`)),
        kind,
      ).toBe(true);
    }
    expect(sessions.killed).toBeGreaterThan(everyStep ? 60 : 8);

    const after = await sessions.tick();
    expect(after.state).toBe(before.state);
    // What a guest has free comes and goes; the pages of a session at each eighth kill would be more.
    expect(before.free - after.free).toBeLessThan(4096);
    expect(await sessions.run()).toBe(0);
  });

  it('leaves a guest that goes on where a function was in its midst, by doctor and by detach', async () => {
    expect(await sessions.run(), sessions.said).toBe(0);
    const before = await sessions.tick();
    // A call writes its return address, and is begun.
    const calls = proxy.packets.flatMap((packet, number) =>
      packet.startsWith('M')
        ? [proxy.packets.findIndex((each, n) => n > number && each === 'vCont;c')]
        : [],
    );
    expect(calls).toHaveLength(4);
    for (const [n, packet] of calls.entries()) {
      const code = await sessions.run({ packet, when: 'before' });
      expect([code, proxy.packets[packet]]).toEqual([undefined, 'vCont;c']);
      const [left] = gdbSessions(guest.pid);
      const { thread = '', call } = left?.record.point ?? {};
      // Of its instructions it does some, and its processor stands then.
      const stub = await GdbStub.connect({ path: way });
      await stub.select(thread);
      expect((await stub.registers()).get('rip')?.toString(16)).toBe(call?.function);
      for (let steps = 8; steps > 0; steps--) await stub.step(thread);
      await stub.select(thread);
      expect((await stub.registers()).get('rip')?.toString(16)).not.toBe(call?.function);
      await stub.abandon();
      expect((await runCliWell(['sessions'])).stdout).toMatch(/^killed .*left behind$/m);
      const fix = n % 2 === 0 ? ['doctor', '--fix'] : ['detach', 'killed'];
      await runCli(fix);
      expect((await runCliWell(['sessions'])).stdout).not.toContain('killed');
      await sessions.tick();
    }
    const after = await sessions.tick();
    expect(after.state).toBe(before.state);
    expect(guest.console()).not.toMatch(/BUG:|Oops|Call Trace|Kernel panic/);
  });
});
