import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { runGuest } from '../vm/guest.js';
import { Random } from '../support/random.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'debloat-serve-guest-'));
const servers: ChildProcess[] = [];
const files = new Map<string, string>();
const squashfs = join(directory, 'files.squashfs');

beforeAll(() => {
  const random = new Random(3);
  const tree = join(directory, 'tree');
  mkdirSync(tree);
  for (let n = 0; n < 60; n++) {
    const content = Buffer.from(
      Uint32Array.from({ length: random.below(40_000) }, () => random.word()).buffer,
    );
    writeFileSync(join(tree, `file${n}`), content);
    files.set(`file${n}`, createHash('sha256').update(content).digest('hex'));
  }
  execFileSync('mksquashfs', [tree, squashfs, '-quiet', '-no-progress']);
});
afterEach(() => servers.splice(0).forEach((server) => server.kill('SIGKILL')));
afterAll(() => rmSync(directory, { recursive: true }));

/** `debloat serve` with these arguments, ready for clients. */
async function serve(image: string, socket: string, args: string[]): Promise<ChildProcess> {
  const server = spawn(process.execPath, [main, 'serve', image, '--socket', socket, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  servers.push(server);
  let told = '';
  await new Promise<void>((resolve, reject) => {
    server.stderr.on('data', (chunk: Buffer) => {
      told += chunk.toString();
      if (told.includes('serving ')) resolve();
    });
    server.once('exit', () => reject(new Error(told)));
  });
  return server;
}

/** End a server as a user does; what it counted. */
async function stop(server: ChildProcess): Promise<Record<string, number>> {
  let output = '';
  server.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const closed = new Promise((resolve) => server.once('close', resolve));
  server.kill('SIGTERM');
  await closed;
  return JSON.parse(output) as Record<string, number>;
}

function newDirectory(name: string): string {
  const path = join(directory, name);
  mkdirSync(path);
  return path;
}

function ext4(name: string): string {
  const path = join(directory, name);
  execFileSync('mke2fs', ['-q', '-t', 'ext4', path, '64M']);
  return path;
}

/** The contents of a file in an ext4 image, and that the image is clean. */
function readExt4(image: string, path: string): string {
  execFileSync('e2fsck', ['-fn', image], { stdio: 'pipe' });
  return execFileSync('debugfs', ['-R', `cat ${path}`, image], { stdio: 'pipe' }).toString();
}

const copyTest = `
cat /sys/block/vda/serial /sys/block/vda/ro; echo
ls /sys/block/vdb/mq | wc -l
mkdir /a /b
mount -t squashfs -o ro /dev/vda /a && mount -t ext4 /dev/vdb /b && cp -r /a /b/copy
sync
umount /b && mount -t ext4 /dev/vdb /b
cd /b/copy && sha256sum * | tee /b/sums
cd / && umount /b
`;

it.each(['bullseye', 'bookworm', 'trixie'])(
  'a Debian %s guest reads and writes its disks',
  async (suite) => {
    const where = newDirectory(suite);
    const disk = ext4(`${suite}.ext4`);
    const sockets = [join(where, 'a'), join(where, 'b')] as const;
    const image = await serve(squashfs, sockets[0], [
      '--read-only',
      '--serial',
      'the-files',
      '--format',
      'json',
    ]);
    const writable = await serve(disk, sockets[1], ['--queues', '4', '--format', 'json']);
    const output = await runGuest({
      suite,
      script: copyTest,
      disks: [{ socket: sockets[0] }, { socket: sockets[1], queues: 4 }],
      directory: where,
      cpus: 4,
    });
    expect(output).toMatch(/the-files1?\n?1\n/);
    const sums = new Map(
      [...output.matchAll(/^([0-9a-f]{64}) {2}(file\d+)$/gm)].map(([, sum, name]) => [name, sum]),
    );
    expect(sums).toEqual(files);
    expect(await stop(image)).toMatchObject({ writes: 0, failures: 0, violations: 0 });
    const counted = await stop(writable);
    expect(counted).toMatchObject({ failures: 0, violations: 0, connections: 1 });
    expect(counted['flushes']).toBeGreaterThan(0);
    expect(readExt4(disk, '/sums').split('\n').filter(Boolean)).toHaveLength(files.size);
    expect(existsSync(sockets[0])).toBe(false);
  },
);

it('a session leaves the image as it was', async () => {
  const where = newDirectory('session');
  const disk = ext4('session.ext4');
  const before = readFileSync(disk);
  const socket = join(where, 'disk');
  const session = join(where, 'kept');
  const script = `
mkdir /b; mount -t ext4 /dev/vda /b && cat /b/kept
echo still-here > /b/kept; dd if=/dev/urandom of=/b/noise bs=1M count=8; umount /b
`;
  for (const found of [false, true]) {
    const server = await serve(disk, socket, ['--cow', session, '--format', 'json']);
    const output = await runGuest({
      suite: 'bookworm',
      script,
      disks: [{ socket }],
      directory: where,
    });
    expect(output.includes('still-here\n')).toBe(found);
    expect(await stop(server)).toMatchObject({ failures: 0, violations: 0 });
  }
  expect(readFileSync(disk).equals(before)).toBe(true);
});

it('a guest goes on when the server was killed under load and started again', async () => {
  const where = newDirectory('killed');
  const disk = ext4('killed.ext4');
  const socket = join(where, 'disk');
  let server = await serve(disk, socket, ['--format', 'json']);
  const script = `
mkdir /b; mount -t ext4 /dev/vda /b
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
  dd if=/dev/urandom of=/tmp/block bs=256k count=8 2>/dev/null
  cp /tmp/block /b/block$n; sync
  (cd /tmp && sha256sum block | cut -c1-64) >> /tmp/wanted
  echo round $n
done
echo 3 > /proc/sys/vm/drop_caches
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do sha256sum /b/block$n | cut -c1-64; done > /tmp/found
cmp /tmp/wanted /tmp/found && echo all-the-same | tee /b/verdict
umount /b
`;
  let kills = 0;
  let restarted: Promise<unknown> = Promise.resolve();
  const output = await runGuest({
    suite: 'bookworm',
    script,
    disks: [{ socket }],
    directory: where,
    onOutput: (text) => {
      const rounds = [...text.matchAll(/^round \d+/gm)].length;
      if (kills >= 3 || rounds < kills * 3 + 2) return;
      kills++;
      const old = server;
      restarted = restarted
        .then(
          () =>
            new Promise((resolve) => {
              old.once('exit', resolve);
              old.kill('SIGKILL');
            }),
        )
        .then(async () => (server = await serve(disk, socket, ['--format', 'json'])));
    },
  });
  await restarted;
  expect(kills).toBe(3);
  expect(output).toContain('all-the-same');
  expect(output).not.toMatch(/I\/O error|EXT4-fs error/);
  expect(await stop(server)).toMatchObject({ failures: 0, violations: 0 });
  expect(readExt4(disk, '/verdict')).toBe('all-the-same\n');
});
