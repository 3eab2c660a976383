import { execa } from 'execa';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { expectNoComplaint } from '../support/guest-health.js';
import { kernelText } from '../support/kernel-text.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { startTcgGuest, type TcgGuest, type TcgGuestOptions } from '../vm/tcg-guest.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'debloat-attach-guests-'));
let overlay: string;
beforeAll(() => (overlay = makeOverlayImage(directory)));
afterAll(() => rmSync(directory, { recursive: true }));

const disk = ['virtio_pci', 'virtio_blk', 'squashfs'];

interface Attachable {
  guest: TcgGuest;
  /** A monitor besides the one that the tests use. */
  qmp: string;
}

async function start(options: Omit<TcgGuestOptions, 'directory'>): Promise<Attachable> {
  const own = mkdtempSync(join(directory, 'guest-'));
  const qmp = join(own, 'second');
  const devices = ['-qmp', `unix:${qmp},server=on,wait=off`, '-action', 'reboot=reset'];
  return { qmp, guest: await startTcgGuest({ ...options, directory: own, gdb: true, devices }) };
}

const attachWords = ({ guest, qmp }: Attachable, words: string[]) => [
  ...['attach', `qemu://${guest.pid}`, '--overlay', overlay, '--qmp', qmp, '--', ...words],
];
const attach = (to: Attachable, ...words: string[]) => runCli(attachWords(to, words));

const textOf = ({ guest, qmp }: Attachable) => kernelText(guest.pid, { path: qmp });

/** Kernels, sizes, and what a guest may lack. */
const guests: [string, Omit<TcgGuestOptions, 'directory'>][] = [
  [
    '5.10 with 128 MiB, without /proc and /sys',
    {
      ...{ suite: 'bullseye', memory: 128, modules: [...disk, 'overlay'] },
      script: 'umount /proc /sys',
    },
  ],
  [
    '6.1 on a read-only root, without devtmpfs',
    {
      ...{ suite: 'bookworm', modules: [...disk, 'overlay'] },
      script: 'umount /dev; mount -o remount,ro /',
    },
  ],
  [
    '6.12 with 6 GiB and four processors, without overlayfs',
    { suite: 'trixie', memory: 6144, cpus: 4, modules: disk },
  ],
  [
    '7.2 with two processors and processes that come and go',
    {
      ...{ suite: 'sid', cpus: 2, modules: [...disk, 'overlay'] },
      script: 'while :; do ls /modules >/dev/null; done &',
    },
  ],
];

describe.each(guests)('a session in %s', (_, options) => {
  let machine: Attachable;
  beforeAll(async () => {
    machine = await start(options);
  });
  afterAll(() => machine.guest.stop());

  it('sees the overlay and the guest, and can be had again', async () => {
    const script = 'cat /opt/hello; ls /modules/order; test -d /proc/1 && sha256sum /modules/order';
    const booted = machine.guest.console().length;
    const before = await textOf(machine);
    expect(before.padding).toBeDefined();
    for (let round = 0; round < 2; round++) {
      const { stdout, stderr, code } = await attach(machine, 'bash', '-c', script);
      expect(stdout, stderr).toMatch(
        /^from the overlay\n\/modules\/order\n[0-9a-f]{64} {2}\/modules\/order$/,
      );
      expect(code).toBe(0);
    }
    expect(await textOf(machine)).toEqual(before);
    expectNoComplaint(machine.guest.console().slice(booted));
  });
});

it('a session joins a container of the guest by its name', async () => {
  const machine = await start({
    ...{ suite: 'bookworm', modules: [...disk, 'overlay'] },
    script: `
mkdir -p /web/proc /web/etc /web/mnt /web/run && cp -a /bin /web/ && echo web >/web/etc/hostname
unshare -m chroot /web sleep 100000 &`,
  });
  try {
    const session = (name: string) =>
      runCli([
        ...['attach', '--container', name],
        ...attachWords(machine, ['cat', '/opt/hello', '/etc/hostname']).slice(1),
      ]);
    const { stdout, stderr } = await session('web');
    expect(stdout, stderr).toBe('from the overlay\nweb');
    const none = await session('nobody');
    expect(none.stderr).toMatch(
      /^error: The session could not be started: no container nobody in the guest\.$/m,
    );
    expect(none.code).toBe(1);
  } finally {
    await machine.guest.stop();
  }
});

describe('a session whose machine', () => {
  const open = async (machine: Attachable) => {
    const words = [main, ...attachWords(machine, ['cat'])];
    const session = execa(process.execPath, words, {
      ...{ stdin: 'pipe', reject: false, env: { NO_COLOR: '1' } },
    });
    session.stdin.write('there\n');
    await Promise.race([session, once(session.stdout, 'data')]);
    return { session }; // a promise by itself would be waited for
  };
  const options = { suite: 'bookworm' as const, modules: [...disk, 'overlay'] };

  it('is started anew ends with a sentence, and can be had again', async () => {
    const machine = await start(options);
    const { guest } = machine;
    try {
      const { session } = await open(machine);
      await guest.qmp('system_reset');
      const { exitCode, stderr } = await session;
      expect(stderr).toMatch(/^error: The session is lost: the guest was started anew/m);
      expect(exitCode).toBe(1);
      await guest.printed(/^guest-ready$[^]*^guest-ready$/m, 240);
      const { stdout, stderr: problem } = await attach(machine, 'cat', '/opt/hello');
      expect(stdout, problem).toBe('from the overlay');
    } finally {
      await guest.stop();
    }
  });

  it('ends, ends with a sentence and leaves nothing', async () => {
    const machine = await start(options);
    const { guest } = machine;
    const before = await textOf(machine);
    const { session } = await open(machine);
    expect(await textOf(machine)).not.toEqual(before);
    await guest.stop();
    const { exitCode, stderr } = await session;
    expect(stderr).toMatch(/^error: The session is lost: .* its machine has ended/m);
    expect(exitCode).toBe(1);
    expect((await runCli(['sessions'])).stdout).not.toContain(`qemu://${guest.pid}`);
  });
});
