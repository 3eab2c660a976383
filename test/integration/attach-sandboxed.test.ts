import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { startTcgGuest, type TcgGuest } from '../vm/tcg-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-attach-sandboxed-'));
const hidden = join(directory, 'hidden');
const overlay = join(hidden, 'overlay.squashfs');
afterAll(() => rmSync(directory, { recursive: true }));

beforeAll(() => {
  chmodSync(directory, 0o755); // that its user may go there is not what is tested
  mkdirSync(hidden);
  renameSync(makeOverlayImage(directory), overlay);
});

/** A QEMU of another user, with a mount namespace in which the overlay is not to be seen. */
async function start(sharedMemory: boolean): Promise<{ guest: TcgGuest; qmp: string }> {
  const own = mkdtempSync(join(directory, 'guest-'));
  const qemu = join(own, 'qemu');
  writeFileSync(
    qemu,
    `#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs none "${hidden}" && exec qemu-system-x86_64 "$@"' sh "$@"
`,
    { mode: 0o755 },
  );
  const qmp = join(own, 'second');
  const guest = await startTcgGuest({
    ...{ suite: 'bookworm', directory: own, qemu, gdb: true, sharedMemory },
    modules: ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay'],
    devices: ['-qmp', `unix:${qmp},server=on,wait=off`, '-runas', 'nobody'],
  });
  return { guest, qmp };
}

const attach = (guest: TcgGuest, qmp: string) =>
  runCli([
    ...['attach', `qemu://${guest.pid}`, '--overlay', overlay, '--qmp', qmp],
    ...['--exec', 'cat /opt/hello', '--format', 'json'],
  ]);

it('a session in a machine whose hypervisor cannot open the overlay has it from our server', async () => {
  const { guest, qmp } = await start(true);
  try {
    const { stdout, stderr } = await attach(guest, qmp);
    expect(JSON.parse(stdout), stderr).toMatchObject({
      ...{ code: 0, stdout: 'from the overlay\n', disk: 'vhost-user' },
    });
    expect(await guest.qmp('query-status')).toMatchObject({ status: 'running' });
  } finally {
    await guest.stop();
  }
});

it('there is none where its memory is not shared, and that is said', async () => {
  const { guest, qmp } = await start(false);
  try {
    const { stderr, code } = await attach(guest, qmp);
    expect(stderr).toMatch(/^error: The hypervisor refused blockdev-add: .*No such file/m);
    expect(stderr).toMatch(/hint: .*memory-backend-memfd,share=on/);
    expect(code).toBe(1);
    expect((await runCli(['sessions'])).stdout).not.toContain(`qemu://${guest.pid}`);
  } finally {
    await guest.stop();
  }
});
