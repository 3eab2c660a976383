import { execa } from 'execa';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { runCli, runCliWell } from '../support/cli.js';
import { FakeCloudHypervisor, type FakeMachine } from '../support/fake-cloud-hypervisor.js';
import { makeOverlayImage } from '../support/overlay-image.js';

// Cloud Hypervisor itself is not to be had where the tests run: its API is served by the test.

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'debloat-ch-api-'));
const temporary = join(directory, 'tmp');
const program = join(directory, 'cloud-hypervisor');
let overlay: string;
beforeAll(() => {
  mkdirSync(temporary);
  copyFileSync('/bin/bash', program);
  overlay = makeOverlayImage(directory);
});
afterAll(() => rmSync(directory, { recursive: true }));

let hypervisor: ChildProcess;
let fake: FakeCloudHypervisor | undefined;
beforeEach(async () => {
  const words = ['--api-socket', 'path=api.sock'];
  hypervisor = spawn(program, ['-c', 'while read -r line; do :; done', ...words], {
    ...{ cwd: directory, stdio: ['pipe', 'ignore', 'ignore'] },
  });
  await once(hypervisor, 'spawn');
});
afterEach(() => {
  hypervisor.kill('SIGKILL');
  fake?.close();
  fake = undefined;
});

const start = async (machine: FakeMachine) =>
  (fake = await FakeCloudHypervisor.start(join(directory, 'api.sock'), machine));

const words = (...more: string[]) => [
  ...['attach', '--disk-only', `${hypervisor.pid ?? 0}`, overlay, ...more],
];

/** An attach that goes on; resolves when it has told of its session. */
async function open(...more: string[]) {
  const session = execa(process.execPath, [main, ...words('--format', 'json', ...more)], {
    ...{ stdin: 'ignore', reject: false, env: { NO_COLOR: '1', TMPDIR: temporary } },
  });
  const [first] = await Promise.race([
    once(session.stdout, 'data') as Promise<[Buffer]>,
    session.then(({ stderr }) => Promise.reject(new Error(stderr))),
  ]);
  return { session, told: JSON.parse(first.toString()) as Record<string, unknown> };
}

const sessions = async () =>
  JSON.parse((await runCliWell(['sessions', '--format', 'json'])).stdout) as { session: string }[];

it('a machine with shared memory gets the image from our server, until Ctrl-C', async () => {
  const { disks, offered } = await start({ memory: { shared: true } });
  const { session, told } = await open('--session', 'by-api');
  expect(told).toMatchObject({
    ...{ session: 'by-api', backend: 'Cloud Hypervisor’s API', disk: 'vhost-user' },
    serial: 'overlay.squashfs',
  });
  expect(disks).toMatchObject([{ id: 'debloat-by-api', vhost_user: true, readonly: true }]);
  expect((offered[0] ?? 0n) & (1n << 5n)).toBe(1n << 5n); // VIRTIO_BLK_F_RO
  expect(await sessions()).toContainEqual({
    ...{ session: 'by-api', target: `qemu://${hypervisor.pid ?? 0}`, image: overlay, way: 'API' },
    ...{ state: 'attached', servedBy: session.pid },
  });
  session.kill('SIGINT');
  const { exitCode, stderr } = await session;
  expect(stderr).toMatch(/^detached$/m);
  expect(exitCode).toBe(0);
  expect(disks).toEqual([]);
  expect(await sessions()).not.toContainEqual(expect.objectContaining({ session: 'by-api' }));
  expect(readdirSync(temporary)).toEqual([]);
});

it('one with private memory opens the image itself, until it is detached', async () => {
  const { disks } = await start({});
  const { session, told } = await open('--session', 'by-file');
  expect(told).toMatchObject({ disk: 'file' });
  expect(disks).toEqual([
    { id: 'debloat-by-file', readonly: true, path: overlay, serial: 'overlay.squashfs' },
  ]);
  await runCliWell(['detach', 'by-file']);
  expect((await session).exitCode).toBe(0);
  expect(disks).toEqual([]);
});

it('what a killed one left is taken out by doctor', async () => {
  const { disks } = await start({ memory: { shared: true } });
  const { session } = await open('--session', 'killed-api');
  session.kill('SIGKILL');
  await session;
  expect((await runCli(['doctor'])).stdout).toContain('session killed-api in qemu://');
  expect(disks).toHaveLength(1);
  await runCli(['doctor', '--fix']);
  expect(disks).toEqual([]);
  expect(await sessions()).not.toContainEqual(expect.objectContaining({ session: 'killed-api' }));
  expect(readdirSync(temporary)).toEqual([]);
});

it('a session ends with its hypervisor, and leaves nothing', async () => {
  await start({ memory: { shared: true } });
  const { session } = await open('--session', 'ended-api');
  hypervisor.kill('SIGKILL');
  const { exitCode, stderr } = await session;
  expect(stderr).toMatch(/^the virtual machine \d+ has ended$/m);
  expect(exitCode).toBe(0);
  expect(readdirSync(temporary)).toEqual([]);
});

it('KVM is tried when the API refuses, and both reasons are said', async () => {
  const { calls } = await start({
    refuses: { 'vm.add-disk': { status: 500, body: '["Error from API", "No PCI slot"]' } },
  });
  const { code, stderr, stdout } = await runCli(words());
  expect(stderr).toMatch(/^not by Cloud Hypervisor’s API: .*No PCI slot$/m);
  expect(stderr).toMatch(
    /^error: There is no way into the virtual machine \d+: Cloud Hypervisor’s API: .*No PCI slot; KVM: process \d+ is Cloud Hypervisor without KVM\.$/m,
  );
  expect([code, stdout]).toEqual([1, '']);
  expect(calls.filter((call) => call.includes('add-disk'))).toHaveLength(1);
});

it('what the API cannot do is left to KVM, and a socket without a server is a refusal', async () => {
  const { calls } = await start({});
  const cow = await runCli(words('--cow'));
  expect(cow.stderr).toContain('--cow goes with a device of ours; KVM: ');
  expect(calls).toEqual([]);
  fake?.close();
  const none = await runCli(words());
  expect(none.stderr).toMatch(/API at \S+api\.sock does not answer \(vmm\.ping\)\. .*; KVM: /);
});

it('--dry-run says the way, and asks for no disk', async () => {
  const { calls } = await start({ memory: { shared: true } });
  const { stdout } = await runCliWell(words('--dry-run'));
  expect(stdout).toMatch(/^1\. ask Cloud Hypervisor’s API at \S+\/api\.sock .*vhost-user/);
  expect(calls).toEqual(['GET vmm.ping', 'GET vm.info']);
});
