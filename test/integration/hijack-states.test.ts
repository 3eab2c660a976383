import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { enterStage, GuestStartedAnew, isAnyoneInside } from '../../attacher/hijack/enter-stage.js';
import { exclusively } from '../../attacher/hijack/exclusive.js';
import { HijackTarget } from '../../attacher/hijack/target.js';
import { openVirtualMachine } from '../../attacher/hypervisor/index.js';
import { attachByCli, makeTestImage } from '../support/attached.js';
import { runCli, runCliWell } from '../support/cli.js';
import { expectNoComplaint, expectTicking } from '../support/guest-health.js';
import { runSession } from '../support/hijack-session.js';
import { compileRawControlStage, compileRawVm, holdingsOf, RawVm } from '../support/raw-vm.js';
import { startKvmGuest, type KvmGuest } from '../vm/kvm-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-states-'));
afterAll(() => rmSync(directory, { recursive: true }));
const image = makeTestImage(directory);

describe('a machine whose processors never wait', () => {
  const program = compileRawVm(directory);
  const rawStage = compileRawControlStage(directory);
  const session = (vm: RawVm) =>
    runSession({ pid: vm.pid, image: image.path, id: 'busy', rawStage });
  const started = async (mode: 'user' | 'plain'): Promise<RawVm> => {
    const vm = new RawVm(program, 'shared', mode);
    while ((await vm.counts()).counter === 0) await sleep(10);
    return vm;
  };

  it('is attached to where they are busy in its kernel', async () => {
    const vm = await started('plain');
    try {
      const [before, { exits }] = [vm.holdings(), await vm.counts()];
      await session(vm);
      expect(vm.holdings()).toEqual(before);
      expect((await vm.counts()).exits).toBe(exits);
    } finally {
      vm.kill();
    }
  });

  it('is reached where its threads were not seen at first', async () => {
    const vm = await started('plain');
    try {
      using machine = openVirtualMachine(vm.pid);
      using target = HijackTarget.of(machine);
      for (const vcpu of machine.vcpus) vcpu.tid = 0;
      expect(await isAnyoneInside(target, 0n, 1n)).toBe(false);
      expect(machine.vcpus.map(({ tid }) => tid)).not.toContain(0);
    } finally {
      vm.kill();
    }
  });

  it('is left as it was where they are busy in programs', async () => {
    const vm = await started('user');
    try {
      const before = vm.holdings();
      await expect(session(vm)).rejects.toThrow(
        /No processor of the guest was ever in its kernel with interrupts enabled/,
      );
      expect(vm.holdings()).toEqual(before);
      const { counter, exits } = await vm.counts();
      await sleep(50);
      const after = await vm.counts();
      expect(after.counter).toBeGreaterThan(counter);
      expect(after.exits).toBe(exits);
    } finally {
      vm.kill();
    }
  });
});

async function withGuest(act: (guest: KvmGuest) => Promise<void>): Promise<void> {
  const guest = await startKvmGuest({ suite: 'bookworm', directory });
  try {
    await act(guest);
  } finally {
    await guest.stop();
  }
}

/** Fails unless an attach to the guest works now, and leaves nothing. */
async function expectAttachable({ pid }: KvmGuest): Promise<void> {
  const before = holdingsOf(pid);
  const session = await attachByCli(pid, image.path, 'later');
  expect(await session.detach()).toMatch(/^detached: \d+ reads, 0 writes, 0 failed/m);
  expect(holdingsOf(pid)).toEqual(before);
}

/** nanosleep(2) on x86-64, for 1.5 s. */
const NR_nanosleep = 35;
const aWhile = new Uint8Array(new BigInt64Array([1n, 500_000_000n]).buffer);

it('a machine in whose threads another one of ours makes calls is waited for, not taken for paused', async () => {
  await withGuest(async (guest) => {
    using machine = openVirtualMachine(guest.pid);
    using target = HijackTarget.of(machine);
    const { both } = await exclusively(guest.pid, async () => {
      const session = attachByCli(guest.pid, image.path, 'waiting');
      const inspection = runCliWell(['inspect', `${guest.pid}`]);
      await target.whileStopped((thread) => {
        thread.call('nanosleep', NR_nanosleep, ['pointer', 0], aWhile);
      });
      return { both: Promise.all([session, inspection]) }; // a promise by itself would be waited for
    });
    const [attached, { stdout }] = await both;
    expect(stdout).not.toContain('paused');
    await attached.detach();
    expectNoComplaint(guest.console());
  });
});

describe('a machine that is reset', () => {
  it('while a disk is attached has nothing of ours any more, and the session ends by saying so', async () => {
    await withGuest(async (guest) => {
      const before = holdingsOf(guest.pid);
      const session = await attachByCli(guest.pid, image.path, 'reset');
      await guest.qmp('set-action', { reboot: 'reset' });
      await guest.qmp('system_reset');
      const { exitCode, stderr } = await session.ended;
      expect(stderr).toMatch(/^error: The guest was started anew: its disk is gone\.$/m);
      expect(exitCode).toBe(1);
      expect(holdingsOf(guest.pid)).toEqual(before);
      expect(await guest.qmp('query-status')).toMatchObject({ status: 'running' });
      // Where KVM emulates, the guest is at its firmware for minutes.
      const { code, stderr: why } = await runCli([
        'attach',
        '--disk-only',
        '--dry-run',
        `${guest.pid}`,
        image.path,
      ]);
      if (code !== 0) expect(why).toMatch(/^error: .*(64-bit|Linux|page tables)/m);
      expect(holdingsOf(guest.pid)).toEqual(before);
    });
  });

  it('is known by its page tables, where memory is as it was', async () => {
    const vm = new RawVm(compileRawVm(directory), 'shared', 'plain');
    try {
      while ((await vm.counts()).counter === 0) await sleep(10);
      using machine = openVirtualMachine(vm.pid);
      using target = HijackTarget.of(machine);
      const nothing = () => expect.unreachable();
      const entrance = { entry: 0n, setResume: nothing, onStep: nothing };
      const other = { ...entrance, entryAddress: 0x15008 };
      await expect(enterStage(target, other)).rejects.toThrow(GuestStartedAnew);
    } finally {
      vm.kill();
    }
  });
});

describe('a machine that is migrated', () => {
  const state = async (guest: KvmGuest, wanted: RegExp): Promise<void> => {
    for (let left = 600; ; left--) {
      const { status = '' } = (await guest.qmp('query-migrate')) as { status?: string };
      if (wanted.test(status)) return;
      if (left === 0) throw new Error(`the migration is ${status}`);
      await sleep(100);
    }
  };
  const migrate = (guest: KvmGuest) => guest.qmp('migrate', { uri: 'exec:cat >/dev/null' });

  it('while a disk is attached keeps it, and gives it back when it goes on here', async () => {
    await withGuest(async (guest) => {
      const before = holdingsOf(guest.pid);
      const session = await attachByCli(guest.pid, image.path, 'moved');
      await migrate(guest);
      await state(guest, /^completed$/);
      expect(await guest.qmp('query-status')).toMatchObject({ status: 'postmigrate' });
      const refused = await runCli(['attach', '--disk-only', `${guest.pid}`, image.path]);
      expect(refused.stderr).toMatch(/^error: the virtual machine is paused/m);
      expect(refused.code).toBe(1);
      const late = await runCli(['detach', 'moved']);
      expect(late.stderr).toMatch(/^error: .*(paused|No processor)/m);
      expect((await session.ended).exitCode).toBe(1);
      await guest.qmp('cont');
      await runCliWell(['detach', 'moved']);
      expect(holdingsOf(guest.pid)).toEqual(before);
      await expectAttachable(guest);
      expectNoComplaint(guest.console());
    });
  });

  it('is attached to meanwhile, and keeps the disk when the migration is called off', async () => {
    await withGuest(async (guest) => {
      // As slow as can be: it must not end while we attach.
      await guest.qmp('migrate-set-parameters', { 'max-bandwidth': 65536 });
      await migrate(guest);
      await state(guest, /^active$/);
      const session = await attachByCli(guest.pid, image.path, 'meanwhile');
      await state(guest, /^active$/);
      await guest.qmp('migrate_cancel');
      await state(guest, /^cancelled$/);
      await expectTicking(guest.pid);
      expect(await session.detach()).toMatch(/^detached: \d+ reads, 0 writes, 0 failed/m);
      await expectAttachable(guest);
      expectNoComplaint(guest.console());
    });
  });
});
