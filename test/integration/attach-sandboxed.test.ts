import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { hiddenOverlay, startSandboxedGuest } from '../support/sandboxed-guest.js';
import type { TcgGuest } from '../vm/tcg-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-attach-sandboxed-'));
let overlay: string;
beforeAll(() => (overlay = hiddenOverlay(directory)));
afterAll(() => rmSync(directory, { recursive: true }));

const attach = (guest: TcgGuest, qmp: string) =>
  runCli([
    ...['attach', `qemu://${guest.pid}`, '--overlay', overlay, '--qmp', qmp],
    ...['--exec', 'cat /opt/hello', '--format', 'json'],
  ]);

it('a session in a machine whose hypervisor cannot open the overlay has it from our server', async () => {
  const { guest, qmp } = await startSandboxedGuest(directory, { sharedMemory: true });
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
  const { guest, qmp } = await startSandboxedGuest(directory, { sharedMemory: false });
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
