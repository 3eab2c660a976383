import { execa } from 'execa';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli, runCliWell } from '../support/cli.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { Qemu } from '../vm/qemu.js';
import { startTcgGuest, type TcgGuest } from '../vm/tcg-guest.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'debloat-attach-all-'));
const names = ['all-a', 'all-b'] as const;
const guests: TcgGuest[] = [];
let overlay: string;

beforeAll(async () => {
  overlay = makeOverlayImage(directory);
  for (const name of names) {
    const own = mkdtempSync(join(directory, 'guest-'));
    guests.push(
      await startTcgGuest({
        ...{ suite: 'bookworm', machine: 'pc', gdb: true, sharedMemory: true, cpus: 1 },
        directory: own,
        modules: ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay'],
        script: `echo ${name} >/name`,
        devices: ['-name', name, '-qmp', `unix:${join(own, 'second')},server=on,wait=off`],
      }),
    );
  }
});
afterAll(async () => {
  for (const guest of guests) await guest.stop();
  rmSync(directory, { recursive: true });
});

const attach = (command: string, ...more: string[]) =>
  runCli(['attach', '--all', 'qemu://all-*', '--overlay', overlay, '--exec', command, ...more], {
    timeout: 120_000,
  });

it('runs one command in all machines that match, and tells what came of each', async () => {
  const { code, stdout, stderr } = await attach('cat /name /opt/hello', '--format', 'json');
  expect(stderr).toContain('ready after');
  expect(code).toBe(0);
  const outcomes = JSON.parse(stdout) as { target: string }[];
  expect(outcomes).toHaveLength(2);
  for (const [n, guest] of guests.entries()) {
    expect(outcomes.find(({ target }) => target === `qemu://${guest.pid}`)).toMatchObject({
      code: 0,
      stdout: `${names[n] ?? ''}\nfrom the overlay\n`,
    });
  }
});

it('fails when one of them fails, with a row for each', async () => {
  const { code, stdout } = await attach('cat /name; grep -q all-a /name', '--jobs', '1');
  expect(code).toBe(1);
  expect(stdout).toMatch(/^TARGET +CODE +READY MS +OVERLAY +RESULT$/m);
  expect(stdout).toMatch(/^qemu:\/\/\d+ +0 +\d+ +[0-9a-f]{12} +all-a$/m);
  expect(stdout).toMatch(/^qemu:\/\/\d+ +1 +\d+ +[0-9a-f]{12} +all-b$/m);
});

it('gives a machine that cannot be attached to a row with the reason, and goes on', async () => {
  // Its only monitor is the test's.
  const closed = await Qemu.start({
    program: 'qemu-system-x86_64',
    arguments: ['-nodefaults', '-display', 'none', '-S', '-name', 'closed'],
    ...{ directory, name: 'closed' },
  });
  try {
    const auditLog = join(directory, 'audit');
    const { code, stdout } = await runCli(
      [
        ...['attach', '--all', 'qemu://{all-a,closed}', '--overlay', overlay],
        ...['--exec', 'cat /name', '--format', 'json'],
      ],
      // What is set for all of them is not for each.
      { env: { DEBLOAT_JOBS: '2', DEBLOAT_AUDIT_LOG: auditLog }, timeout: 120_000 },
    );
    expect(code).toBe(1);
    const outcomes = JSON.parse(stdout) as { target: string }[];
    const of = (pid: number) => outcomes.find(({ target }) => target === `qemu://${pid}`);
    expect(of(guests[0]?.pid ?? 0)).toMatchObject({ code: 0, stdout: 'all-a\n' });
    expect(of(closed.pid)).toMatchObject({
      error: { message: expect.stringContaining('There is no way into') as string },
    });
    expect(readFileSync(auditLog, 'utf8').match(/"target":"qemu:/g)).toHaveLength(2);
  } finally {
    await closed.stop();
  }
});

it('leaves nothing in any machine after Ctrl-C at its terminal', async () => {
  const all = execa(
    process.execPath,
    [
      ...['--', main, 'attach', '--all', 'qemu://all-*', '--overlay', overlay],
      ...['--exec', 'sleep 100'],
    ],
    { stdin: 'ignore', reject: false, detached: true, timeout: 120_000 },
  );
  const sessions = async () => {
    const { stdout } = await runCliWell(['sessions', '--format', 'json']);
    const listed = JSON.parse(stdout) as { target: string; state: string }[];
    return listed.filter(({ target }) => guests.some(({ pid }) => target === `qemu://${pid}`));
  };
  for (let tries = 0; tries < 60; tries++) {
    if ((await sessions()).filter(({ state }) => state === 'attached').length === 2) break;
    await sleep(500);
  }
  expect(await sessions()).toHaveLength(2);
  await sleep(1000);
  process.kill(-(all.pid ?? 0), 'SIGINT'); // the whole group, as a terminal does
  expect((await all).exitCode).toBe(130);
  expect(await sessions()).toEqual([]);
});
