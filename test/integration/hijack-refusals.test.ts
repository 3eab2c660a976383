import { execa } from 'execa';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attachByCli, makeTestImage } from '../support/attached.js';
import { runCli, runCliWell } from '../support/cli.js';
import { expectNoComplaint, expectTicking } from '../support/guest-health.js';
import { compileRawVm, holdingsOf, RawVm } from '../support/raw-vm.js';
import { startKvmGuest, type KvmGuest } from '../vm/kvm-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-refusals-'));
const image = makeTestImage(directory);
afterAll(() => rmSync(directory, { recursive: true }));
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const attach = (pid: number, path = image.path, ...options: string[]) =>
  runCli(['attach', '--disk-only', `${pid}`, path, ...options]);

/** Fails unless `act` is refused with such a message, and the process holds what it held. */
async function expectRefused(
  pid: number,
  message: RegExp,
  act: () => Promise<{ code: number; stderr: string }> = () => attach(pid),
): Promise<void> {
  const before = holdingsOf(pid);
  const { code, stderr } = await act();
  expect(stderr).toMatch(message);
  expect(code).toBe(1);
  expect(holdingsOf(pid)).toEqual(before);
}

const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];

describe('an attach is refused, and nothing is touched', () => {
  let guest: KvmGuest;
  beforeAll(async () => {
    guest = await startKvmGuest({ suite: 'bookworm', directory });
  });
  afterAll(() => guest.stop());

  it('where there is no process, or one that is no virtual machine', async () => {
    expect(await attach(2 ** 22 + 1)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: there is no process 4194305$/m) as string,
    });
    const other = spawn('sh', ['-c', 'echo; read forever']);
    await once(other.stdout, 'data');
    try {
      await expectRefused(other.pid ?? 0, /\((da)?sh\) runs no virtual machine$/m);
    } finally {
      other.kill();
    }
  });

  it('where no Linux runs', async () => {
    const vm = new RawVm(compileRawVm(directory), 'shared', 'plain');
    try {
      await vm.counts();
      await expectRefused(vm.pid, /^error: .*Linux/m);
      const { counter } = await vm.counts();
      while ((await vm.counts()).counter === counter);
    } finally {
      vm.kill();
    }
  });

  it('while the machine is paused', async () => {
    await guest.qmp('stop');
    await expectRefused(guest.pid, /^error: the virtual machine is paused/m);
    await guest.qmp('cont');
    await expectTicking(guest.pid);
  });

  it('where the image is missing', async () => {
    const { pid } = guest;
    await expectRefused(pid, /^error: .*\/missing/m, () => attach(pid, `${directory}/missing`));
  });

  it('where the session’s name is in use; the session goes on', async () => {
    const { pid } = guest;
    const session = await attachByCli(pid, image.path, 'taken');
    await expectRefused(pid, /^error: A session "taken" is attached .* already/m, () =>
      attach(pid, image.path, '--session', 'taken'),
    );
    expect(await session.detach()).toMatch(/^detached: \d+ reads, 0 writes, 0 failed/m);
  });

  it.each([
    // One who may read files, so that the program is found wherever the clone is.
    ['another user', [...nobody, '--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search']],
    ['root without capabilities', ['--bounding-set=-all', '--inh-caps=-all']],
  ])('to %s, by the name of the missing capability', async (_, who) => {
    const { pid } = guest;
    await expectRefused(pid, /^error: .*CAP_SYS_PTRACE/m, async () => {
      const command = [process.execPath, main, 'attach', '--disk-only', `${pid}`, '/etc/passwd'];
      const { exitCode, stderr } = await execa('setpriv', [...who, '--', ...command], {
        env: { NO_COLOR: '1' },
        reject: false,
        stdin: 'ignore',
      });
      return { code: exitCode ?? -1, stderr };
    });
    expectNoComplaint(guest.console());
  });
});

it('a detach from a paused machine fails in time, and succeeds when it goes on', async () => {
  const guest = await startKvmGuest({ suite: 'bookworm', directory });
  try {
    const { pid } = guest;
    const before = holdingsOf(pid);
    const session = await attachByCli(pid, image.path, 'paused');
    await guest.qmp('stop');
    const { code, stderr } = await runCli(['detach', 'paused']);
    expect(stderr).toMatch(/^error: .*(paused|No processor)/m);
    expect(code).toBe(1);
    expect((await session.ended).exitCode).toBe(1);
    await guest.qmp('cont');
    await runCliWell(['detach', 'paused']);
    expect(holdingsOf(pid)).toEqual(before);
    expectNoComplaint(guest.console());
  } finally {
    await guest.stop();
  }
});

it.each([
  ['virtio_mmio', []],
  ['virtio_blk', ['virtio_mmio']],
])('says that the guest has no %s at work, and is out again', async (missing, modules) => {
  const guest = await startKvmGuest({ suite: 'bookworm', directory, modules });
  try {
    const { pid } = guest;
    const message = new RegExp(
      `^error: The guest’s kernel has no driver ${missing} at work.*\\n.*--modules DIR`,
      'm',
    );
    await expectRefused(pid, message);
    await expectTicking(pid);
    expectNoComplaint(guest.console());
  } finally {
    await guest.stop();
  }
});

it('where the interrupt controller is the hypervisor’s own, an attach is refused by that reason', async () => {
  const guest = await startKvmGuest({ suite: 'bookworm', directory, irqchip: 'off' });
  try {
    await expectRefused(
      guest.pid,
      /^error: the virtual machine has no interrupt controller in the host’s kernel \(kernel-irqchip=off\)$/m,
    );
    const { code, stdout } = await runCli(['inspect', `${guest.pid}`]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/kernel-irqchip=off/);
    expect(stdout).not.toMatch(/paused/);
    expect(await guest.qmp('query-status')).toMatchObject({ status: 'running' });
  } finally {
    await guest.stop();
  }
});

it('an attach ends when the hypervisor does', async () => {
  const guest = await startKvmGuest({ suite: 'bookworm', directory });
  try {
    const session = await attachByCli(guest.pid, image.path, 'gone');
    await guest.stop();
    const { exitCode, stderr } = await session.ended;
    expect(stderr).toMatch(new RegExp(`^the virtual machine ${guest.pid} has ended$`, 'm'));
    expect(exitCode).toBe(0);
  } finally {
    await guest.stop();
  }
});
