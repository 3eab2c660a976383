import { execa } from 'execa';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli, runCliWell } from '../support/cli.js';
import { expectNoComplaint } from '../support/guest-health.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { startTcgGuest, type TcgGuest } from '../vm/tcg-guest.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'debloat-attach-vm-'));
/** Where sessions have what they need outside of the guest. */
const temporary = join(directory, 'tmp');
let overlay: string;
beforeAll(() => {
  mkdirSync(temporary);
  overlay = makeOverlayImage(directory);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** What must be the same before and after: files, mounts, sockets, processes. */
// Stage 2 makes /dev/pts where a guest's devtmpfs has none (docs/attach.md, Limits): as in most guests, it is there.
const watch = `
mkdir -p /dev/pts
while :; do
  echo "state: $(ls -A / /dev /tmp /sys/block | md5sum) $(md5sum </proc/mounts) $(wc -l </proc/net/unix) $(ps | grep -vc '\\[') debloat:$(ps | grep -c '[d]ebloat-')"
  sleep 1
done &
`;

/** Shared memory and a stub of its own; private memory and only a monitor. */
const machines = [
  { suite: 'bookworm', machine: 'pc', gdb: true, sharedMemory: true, cpus: 1 },
  { suite: 'trixie', machine: 'q35', gdb: false, sharedMemory: false, cpus: 2 },
] as const;

describe.each(machines)('sessions in $suite on $machine', (options) => {
  let guest: TcgGuest;
  let qmp: string;
  beforeAll(async () => {
    const own = mkdtempSync(join(directory, 'guest-'));
    qmp = join(own, 'second');
    guest = await startTcgGuest({
      ...options,
      directory: own,
      modules: ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay'],
      script: watch,
      devices: [
        ...['-qmp', `unix:${qmp},server=on,wait=off`],
        ...(options.machine === 'q35'
          ? [1, 2, 3].flatMap((n) => ['-device', `pcie-root-port,id=port${n},chassis=${n}`])
          : []),
      ],
    });
  });
  afterAll(() => guest.stop());

  /** The built command line; `more` are options and words. */
  const attach = (more: string[], input: string | Buffer = '') =>
    execa(
      process.execPath,
      [...[main, 'attach', `qemu://${guest.pid}`, '--overlay', overlay, '--qmp', qmp], ...more],
      {
        ...{ input, reject: false, encoding: 'buffer', stripFinalNewline: false },
        ...{ timeout: 120_000, env: { TMPDIR: temporary } },
      },
    );
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');

  const lastState = () =>
    guest
      .console()
      .match(/^state: .*$/gm)
      ?.at(-1);
  /** The state when it has been the same for two seconds. */
  const settledState = async (): Promise<string | undefined> => {
    for (let tries = 0; tries < 20; tries++) {
      const before = lastState();
      await sleep(2500);
      if (before !== undefined && before === lastState()) return before;
    }
    throw new Error('the guest does not settle');
  };

  it('show the overlay beside the guest’s own files, end with the command’s code and leave nothing', async () => {
    const before = await settledState();
    const first = await attach(['--', 'bash', '-c', 'cat /opt/hello; ls /modules/order; exit 3']);
    expect(text(first.stderr)).toContain('the machine stood');
    expect(text(first.stderr)).toContain('its disk a file that the hypervisor opened');
    expect(text(first.stdout), text(first.stderr)).toBe('from the overlay\n/modules/order\n');
    expect(first.exitCode).toBe(3);
    const missing = await attach(['--', 'no-such-command']);
    expect(missing.exitCode, text(missing.stderr)).toBe(127);
    const told = await attach(['--format', 'json', '--exec', 'echo out; echo err >&2; kill -9 $$']);
    expect(JSON.parse(text(told.stdout))).toMatchObject({
      ...{ code: 137, signal: 9, stdout: 'out\n', stderr: 'err\n' },
      disk: 'file',
    });
    expect(await settledState()).toBe(before);
    await expectNothingPlugged();
  });

  it('carry bytes of any kind through pipes', async () => {
    const bytes = randomBytes(2_000_000);
    const { stdout, stderr } = await attach(['--', 'cat'], bytes);
    expect(Buffer.compare(Buffer.from(stdout), bytes), text(stderr)).toBe(0);
  });

  it('run two at once, and end without each other', async () => {
    const run = (name: string) =>
      attach(['--', 'bash', '-c', `echo ${name}; cat; echo ${name}`], name);
    const both = await Promise.all([run('one'), run('two')]);
    const said = both.map(({ stderr }) => text(stderr)).join('\n');
    expect(
      both.map(({ stdout }) => text(stdout)),
      said,
    ).toEqual(['one\noneone\n', 'two\ntwotwo\n']);
  });

  /** What a session makes in the hypervisor and beside it is gone. */
  const expectNothingPlugged = async () => {
    const devices = (await guest.qmp('query-chardev')) as { label: string }[];
    const nodes = (await guest.qmp('query-named-block-nodes')) as { 'node-name': string }[];
    const names = [...devices.map(({ label }) => label), ...nodes.map((n) => n['node-name'])];
    expect(names.filter((name) => name.startsWith('debloat'))).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  };

  /** A session in which `cat`, or another command, runs; resolves when it answers. */
  const open = async (name: string, words = ['cat']) => {
    const command = ['attach', `${guest.pid}`, '--overlay', overlay, '--qmp', qmp];
    const session = execa(process.execPath, [main, ...command, '--session', name, '--', ...words], {
      stdin: 'pipe',
      reject: false,
      env: { TMPDIR: temporary },
    });
    session.stdin.write('there\n');
    await Promise.race([session, once(session.stdout, 'data')]);
    return { session }; // a promise by itself would be waited for
  };

  it('are listed while they last, and end by detach', async () => {
    const before = await settledState();
    const { session } = await open('listed-vm');
    const { stdout } = await runCliWell(['sessions', '--format', 'json']);
    expect(JSON.parse(stdout)).toContainEqual({
      ...{ session: 'listed-vm', target: `qemu://${guest.pid}`, image: overlay, way: 'gdb stub' },
      ...{ state: 'attached', servedBy: session.pid },
    });
    await runCliWell(['detach', 'listed-vm']);
    expect((await session).exitCode).toBe(143);
    expect((await runCliWell(['sessions'])).stdout).not.toContain('listed-vm');
    expect(await settledState()).toBe(before);
  });

  it('are taken out by doctor when their process was killed', async () => {
    const before = await settledState();
    const { session } = await open('killed');
    session.kill('SIGKILL');
    await session;
    const told = await runCli(['doctor']);
    expect(told.stdout).toContain(`session killed in qemu://${guest.pid}`);
    await runCli(['doctor', '--fix']);
    expect((await runCliWell(['sessions'])).stdout).not.toContain('killed');
    expect(await settledState()).toBe(before);
    await expectNothingPlugged();
  });

  it('are taken out when they were killed while the guest was reading the overlay', async () => {
    const before = await settledState();
    const { session } = await open('reading', [
      ...['bash', '-c'],
      'echo there; while :; do echo 3 >/proc/sys/vm/drop_caches; sha256sum /bin/bash; done',
    ]);
    await sleep(1000);
    session.kill('SIGKILL');
    await session;
    await sleep(1000);
    await runCli(['doctor', '--fix']);
    expect((await runCliWell(['sessions'])).stdout).not.toContain('reading');
    expect(await settledState()).toBe(before);
    await expectNothingPlugged();
  });

  it('leave nothing when they are interrupted while they are opened', async () => {
    const before = await settledState();
    for (const delay of [150, 400, 700, 1000, 1400]) {
      const command = ['attach', `${guest.pid}`, '--overlay', overlay, '--qmp', qmp];
      const session = execa(process.execPath, [main, ...command, '--', 'sleep', '60'], {
        ...{ stdin: 'ignore', reject: false, env: { TMPDIR: temporary } },
      });
      await sleep(delay);
      session.kill('SIGINT');
      // It may not even have begun to listen.
      const { exitCode, signal } = await session;
      expect([130, 'SIGINT'], `after ${delay} ms`).toContain(exitCode ?? signal);
    }
    expect((await runCliWell(['sessions'])).stdout).not.toContain(`qemu://${guest.pid}`);
    expect(await settledState()).toBe(before);
    await expectNothingPlugged();
  });

  it('are cleaned up by the next one when their process was killed', async () => {
    const before = await settledState();
    const { session: killed } = await open('gone');
    killed.kill('SIGKILL');
    await killed;
    const next = await attach(['--', 'cat', '/opt/hello']);
    expect(text(next.stdout), text(next.stderr)).toBe('from the overlay\n');
    expect(text(next.stderr)).toContain('was left behind, and is gone now');
    expect(await settledState()).toBe(before);
  });

  it('say why there is no way in', async () => {
    const none = await attach(['--gdb', '/nonexistent', '--', 'true']);
    expect(text(none.stderr)).toContain('does not answer');
    expect(none.exitCode).toBe(1);
    expectNoComplaint(guest.console());
  });
});

/** A debloated nginx in its microVM: served, attached to by the image's digest alone, as it was afterwards. */
it('show the original nginx image in its running microVM, as the demo does', async () => {
  const demo = fileURLToPath(new URL('../setup/demo-attach.sh', import.meta.url));
  const { exitCode, all } = await execa('bash', [demo], { reject: false, all: true });
  expect(all).toMatch(/^bash 5\S+ on Linux 6\.1\./m);
  expect(all).toMatch(/^ii {2}bash /m);
  expect(all).toMatch(/status:Name:\tnginx/);
  expect(all).toMatch(/^[1-9]\d* requests served meanwhile, 0 failed$/m);
  expect(all).toContain('still serving, as before');
  expect(exitCode).toBe(0);
});
