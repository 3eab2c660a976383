import { execa } from 'execa';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attachByCli, makeTestImage } from '../support/attached.js';
import { runCli, runCliWell } from '../support/cli.js';
import { expectNoComplaint, expectTicking } from '../support/guest-health.js';
import { makeModuleDirectory } from '../support/module-directory.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { holdingsOf } from '../support/raw-vm.js';
import { kernelOf, suites } from '../vm/kernel.js';
import { startKvmGuest } from '../vm/kvm-guest.js';
import { startTcgGuest, type TcgGuest } from '../vm/tcg-guest.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'debloat-modules-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** With all that a plugged or a window's disk, its file systems and the overlay need. */
const wanted = [
  ...['virtio', 'virtio_ring', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci'],
  ...['virtio_mmio', 'virtio_blk', 'squashfs', 'overlay'],
];

describe.each(['bookworm', 'trixie'] as const)('a guest of %s without any driver', (suite) => {
  let guest: TcgGuest;
  const qmp = join(directory, `${suite}-qmp`);
  const overlay = makeOverlayImage(mkdtempSync(join(directory, 'overlay-')));
  beforeAll(async () => {
    guest = await startTcgGuest({
      ...{ suite, directory: mkdtempSync(join(directory, 'guest-')), gdb: true },
      modules: [],
      script: 'mkdir -p /dev/pts',
      devices: ['-qmp', `unix:${qmp},server=on,wait=off`],
    });
  });
  afterAll(() => guest.stop());

  const attach = (...options: string[]) =>
    execa(
      process.execPath,
      [main, 'attach', `${guest.pid}`, '--overlay', overlay, '--qmp', qmp, ...options],
      { input: '', reject: false, timeout: 120_000, env: { NO_COLOR: '1' } },
    );

  it('gets none from the directory of another kernel, and nothing else of ours', async () => {
    const other = mkdtempSync(join(directory, 'other-'));
    makeModuleDirectory(other, suite === 'bookworm' ? 'trixie' : 'bookworm', wanted);
    const tree = join(other, 'lib/modules');
    const { exitCode, stderr } = await attach('--modules', tree, '--', 'true');
    expect(stderr).toMatch(/^error: \S+\.ko\S* is for Linux 6\.\S+, but the guest runs Linux 6\./m);
    expect(exitCode).toBe(1);
    const { exitCode: empty, stderr: why } = await attach('--modules', '/etc', '--', 'true');
    expect(why).toMatch(/^error: There are no kernel modules in \/etc/m);
    expect(empty).toBe(1);
    expect(await guest.monitor('info block')).not.toContain('debloat');
  });

  it('gets those that it needs, and shows the overlay', async () => {
    const modules = mkdtempSync(join(directory, 'modules-'));
    makeModuleDirectory(modules, suite, wanted);
    const session = await attach(
      '--modules',
      modules,
      '--',
      'bash',
      '-c',
      'cat /opt/hello; read x </proc/modules; echo "$x"',
    );
    expect(session.stderr).toContain('the machine stood');
    expect(session.stdout).toMatch(/^from the overlay\noverlay /);
    expect(session.exitCode).toBe(0);
    // They are there now: loading them again is no failure.
    const again = await attach('--modules', modules, '--', 'cat', '/opt/hello');
    expect(again.stdout).toBe('from the overlay');
    expectNoComplaint(guest.console());
  });
});

describe.each(suites)('a live kernel of %s', (suite) => {
  it('is told of with the modules that it would get', async () => {
    const guest = await startKvmGuest({ suite, directory });
    try {
      const before = holdingsOf(guest.pid);
      const image = makeTestImage(directory);
      const modules = join(kernelOf(suite), 'modules');
      const args = ['attach', '--disk-only', '--dry-run', `${guest.pid}`, image.path];
      const { stdout } = await runCliWell([...args, '--modules', modules]);
      expect(stdout).toMatch(
        /load modules: ((virtio|virtio_ring), ){0,2}virtio_mmio, virtio_blk$/m,
      );
      expect(holdingsOf(guest.pid)).toEqual(before);
    } finally {
      await guest.stop();
    }
  });
});

/** Whether guests of KVM run programs here: not where it has no VT-x or AMD-V under it. */
const runsPrograms = /\b(vmx|svm)\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));

it(`a live kernel that lacks drivers ${runsPrograms ? 'gets them' : 'gets none of another kernel'}`, async () => {
  const guest = await startKvmGuest({ suite: 'bookworm', directory, modules: [] });
  try {
    const before = holdingsOf(guest.pid);
    const image = makeTestImage(directory);
    const modules = join(kernelOf(runsPrograms ? 'bookworm' : 'trixie'), 'modules');
    if (runsPrograms) {
      const session = await attachByCli(guest.pid, image.path, 'modules', ['--modules', modules]);
      expect(await session.detach()).toMatch(/^detached: /m);
    } else {
      const args = ['attach', '--disk-only', `${guest.pid}`, image.path, '--modules', modules];
      const { code, stderr } = await runCli(args);
      expect(stderr).toMatch(/^error: \S+ is for Linux 6.12\S+, but the guest runs Linux 6.1\./m);
      expect(code).toBe(1);
    }
    expect(holdingsOf(guest.pid)).toEqual(before);
    await expectTicking(guest.pid);
    expectNoComplaint(guest.console());
  } finally {
    await guest.stop();
  }
});
