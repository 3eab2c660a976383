import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { startTcgGuest, type TcgGuest } from '../vm/tcg-guest.js';

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
  expect(stdout).toMatch(/^TARGET +CODE +READY MS +RESULT$/m);
  expect(stdout).toMatch(/^qemu:\/\/\d+ +0 +\d+ +all-a$/m);
  expect(stdout).toMatch(/^qemu:\/\/\d+ +1 +\d+ +all-b$/m);
});
