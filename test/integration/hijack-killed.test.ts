import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { sessionsIn } from '../../attacher/hijack/sessions.js';
import { attachByCli, makeTestImage } from '../support/attached.js';
import { runCliWell } from '../support/cli.js';
import { expectNoComplaint, expectTicking } from '../support/guest-health.js';
import { compileGuestProbe, GuestProbe } from '../support/guest-probe.js';
import { runSession, type Phase, type SessionSettings } from '../support/hijack-session.js';
import { compileRawControlStage, compileRawVm, holdingsOf, RawVm } from '../support/raw-vm.js';
import { startKvmGuest } from '../vm/kvm-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-killed-'));
afterAll(() => rmSync(directory, { recursive: true }));
const image = makeTestImage(directory);

/** A VM, in which sessions are killed. After each the guest must run on, and all of it can be taken out. */
class Victim {
  readonly #before: ReturnType<typeof holdingsOf>;

  constructor(
    readonly settings: SessionSettings,
    /** Fails if the guest does not run on. */
    readonly expectAlive: () => Promise<void>,
  ) {
    this.#before = holdingsOf(settings.pid);
  }

  /** Fails if the hypervisor holds anything that it did not hold before. */
  readonly expectClean = () => {
    const { pid, id } = this.settings;
    expect(sessionsIn(pid).filter((session) => session.id === id)).toEqual([]);
    expect(holdingsOf(pid)).toEqual(this.#before);
  };

  /**
   * Take out what is left, attach, and be killed before step number `step` of a phase, or `delay`
   * milliseconds after that; the step, undefined if there is none of this number.
   */
  async kill(phase: Phase, step: number, delay?: number): Promise<string | undefined> {
    const at = { phase, step, ...(delay === undefined ? {} : { delay }) };
    const run = await runSession({ ...this.settings, ...at }, this.expectClean);
    await this.expectAlive();
    return run.killedBefore?.replace(/^\w+ \d+: /, '');
  }

  /** Be killed before each of a phase's steps in turn, but no more than `most`; which they were. */
  async killAtEachStep(phase: Phase, most = Infinity): Promise<string[]> {
    const steps: string[] = [];
    while (steps.length < most) {
      // There is something to recover only where a session was killed while it served.
      if (phase === 'recover') await this.kill('serve', 0);
      const step = await this.kill(phase, steps.length);
      if (step === undefined) break;
      steps.push(step);
    }
    return steps;
  }

  /** Take out what is left, attach, and come to the end. */
  async end(): Promise<void> {
    await runSession(this.settings, this.expectClean);
    this.expectClean();
  }
}

/** The steps of taking things out, which detach and recovery have in common. */
const takingOut = [
  ...['send a processor into the stage', 'clear the page-table entry'],
  ...['take the interrupt line away', 'take the doorbell "notify" away', 'mark the events'],
  ...['unmap the shared memory', 'close the shared memory'],
];
const puttingIn = [
  ...['create the shared memory', 'size the shared memory', 'map the shared memory'],
  ...['create the event "notify"', 'add the registers', 'add the doorbell "status"'],
  ...['hang the stage into the page tables', 'send a processor into the stage'],
];

describe.concurrent('a raw VM', () => {
  const program = compileRawVm(directory);
  const rawStage = compileRawControlStage(directory);

  it.each([
    ['attach', 'shared', puttingIn],
    ['serve', 'anonymous', ['go on']],
    ['detach', 'shared', takingOut],
    ['recover', 'anonymous', takingOut],
  ] as const)('survives our death before every step: %s, %s memory', async (phase, memory, has) => {
    const vm = new RawVm(program, memory, memory === 'anonymous' ? 'sandbox' : 'plain');
    try {
      const counter = async () => (await vm.counts()).counter;
      while ((await counter()) === 0) await sleep(10);
      const { exits } = await vm.counts();
      const victim = new Victim(
        { pid: vm.pid, image: image.path, id: 'killed', rawStage },
        async () => {
          const [start, end] = [await counter(), Date.now() + 5000];
          while ((await counter()) === start && Date.now() < end) await sleep(10);
          expect(await counter()).toBeGreaterThan(start);
        },
      );
      expect(await victim.killAtEachStep(phase)).toEqual(expect.arrayContaining([...has]));
      await victim.end();
      expect((await vm.counts()).exits).toBe(exits);
    } finally {
      vm.kill();
    }
  });
});

describe('a Linux', () => {
  it('survives our death before every step, and in the midst of what its kernel does for us', async () => {
    const guest = await startKvmGuest({ suite: 'bookworm', directory });
    try {
      const { pid } = guest;
      const probe = await GuestProbe.insert(pid, compileGuestProbe(directory));
      const iomem = await probe.text('/proc/iomem');
      const settings = { pid, image: image.path, id: 'killed' };
      const victim = new Victim(settings, () => expectTicking(pid));
      const attach = await victim.killAtEachStep('attach');
      expect(attach).toEqual(expect.arrayContaining(puttingIn));
      for (const delay of [20, 200, 600]) await victim.kill('attach', attach.length - 1, delay);
      for (const delay of [20, 200, 600]) await victim.kill('detach', 0, delay);
      // What follows these two does not concern the guest: see the raw VM.
      expect(await victim.killAtEachStep('detach', 2)).toEqual(takingOut.slice(0, 2));
      await victim.killAtEachStep('recover', 2);
      await victim.end();

      const session = await attachByCli(pid, image.path, 'killed');
      process.kill(session.pid, 'SIGKILL');
      await session.ended;
      expect((await runCliWell(['sessions'])).stdout).toMatch(/^killed .*left behind$/m);
      await runCliWell(['doctor', '--fix']);
      victim.expectClean();
      expect(await probe.text('/proc/iomem')).toBe(iomem);
      await probe.remove();
      // While the guest lets go of a dead session's disk its requests are answered by errors.
      expectNoComplaint(guest.console().replace(/.*I\/O error.*/g, ''));
    } finally {
      await guest.stop();
    }
  });
});
