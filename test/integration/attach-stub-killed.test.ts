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
    expect(sessions.killed).toBeGreaterThan(everyStep ? 30 : 8);

    const after = await sessions.tick();
    expect(after.state).toBe(before.state);
    // What a guest has free comes and goes; the pages of a session at each eighth kill would be more.
    expect(before.free - after.free).toBeLessThan(4096);
    expect(await sessions.run()).toBe(0);
  });

  it('leaves a guest that goes on where a function was in its midst, by doctor and by detach', async () => {
    expect(await sessions.run(), sessions.said).toBe(0);
    const before = await sessions.tick();
    // A call writes its return address, and is begun; the last before the machine is left is not come back from.
    const after = (packet: number, kind: string) =>
      proxy.packets.findIndex((each, n) => n > packet && each === kind);
    const begun = proxy.packets.flatMap((packet, number) =>
      packet.startsWith('M') && after(number, 'vCont;c') >= 0 ? [after(number, 'vCont;c')] : [],
    );
    const left = proxy.packets.flatMap((packet, number) => (packet === 'D' ? [number] : []));
    expect([begun.length, left.length]).toEqual([1, 2]);
    for (const [n, packet] of [...begun, ...left].entries()) {
      const kind = begun.includes(packet) ? 'vCont;c' : 'D';
      const code = await sessions.run({ packet, when: 'before' });
      expect([code, proxy.packets[packet]]).toEqual([undefined, kind]);
      const [behind] = gdbSessions(guest.pid);
      const { point, functions } = behind?.record ?? {};
      expect(point === undefined).toBe(kind === 'D');
      const stub = await GdbStub.connect({ path: way });
      // At the first instruction of what it calls: the kernel's, or the stage's, which is below the kernel.
      const isThere = (rip: bigint) =>
        [point?.call?.function, functions?.freePages].includes(rip.toString(16)) ||
        (rip >= 0xffffff80_00000000n && rip < 0xffffffff_00000000n);
      let thread: string | undefined;
      for (const each of await stub.threads()) {
        await stub.select(each);
        if (isThere((await stub.registers()).get('rip') ?? 0n)) thread = each;
      }
      if (thread === undefined) throw new Error('no processor is where it was left');
      // Of its instructions it does some, and its processor stands then.
      for (let steps = 8; steps > 0; steps--) await stub.step(thread);
      await stub.abandon();
      expect((await runCliWell(['sessions'])).stdout).toMatch(/^killed .*left behind$/m);
      const fix = n % 2 === 0 ? ['doctor', '--fix'] : ['detach', 'killed'];
      await runCli(fix);
      expect((await runCliWell(['sessions'])).stdout).not.toContain('killed');
      await sessions.tick();
    }
    const end = await sessions.tick();
    expect(end.state).toBe(before.state);
    expect(before.free - end.free).toBeLessThan(4096);
    expect(guest.console()).not.toMatch(/BUG:|Oops|Call Trace|Kernel panic/);
  });
});
