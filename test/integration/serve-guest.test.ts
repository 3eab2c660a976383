import { execFileSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { runGuest } from '../vm/guest.js';
import { Random } from '../support/random.js';
import { serveImage, stopServing } from '../support/serving.js';

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

async function serve(image: string, socket: string, args: string[] = []): Promise<ChildProcess> {
  const server = await serveImage(image, socket, args);
  servers.push(server);
  return server;
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
    const image = await serve(squashfs, sockets[0], ['--read-only', '--serial', 'the-files']);
    const writable = await serve(disk, sockets[1], ['--queues', '4']);
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
    expect(await stopServing(image)).toMatchObject({ writes: 0, failures: 0, violations: 0 });
    const counted = await stopServing(writable);
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
    const server = await serve(disk, socket, ['--cow', session]);
    const output = await runGuest({
      suite: 'bookworm',
      script,
      disks: [{ socket }],
      directory: where,
    });
    expect(output.includes('still-here\n')).toBe(found);
    expect(await stopServing(server)).toMatchObject({ failures: 0, violations: 0 });
  }
  expect(readFileSync(disk).equals(before)).toBe(true);
});

it('a guest goes on when the server was killed under load and started again', async () => {
  const where = newDirectory('killed');
  const disk = ext4('killed.ext4');
  const socket = join(where, 'disk');
  let server = await serve(disk, socket);
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
        .then(async () => (server = await serve(disk, socket)));
    },
  });
  await restarted;
  expect(kills).toBe(3);
  expect(output).toContain('all-the-same');
  expect(output).not.toMatch(/I\/O error|EXT4-fs error/);
  expect(await stopServing(server)).toMatchObject({ failures: 0, violations: 0 });
  expect(readExt4(disk, '/verdict')).toBe('all-the-same\n');
});

it('a disk comes and goes while the guest runs', async () => {
  const where = newDirectory('plugged');
  const socket = join(where, 'disk');
  const server = await serve(squashfs, socket, ['--read-only']);
  const script = `
mkdir /a
for n in 1 2 3; do
  echo plug $n
  until [ -b /dev/vda ]; do sleep 0.1; done
  mount -t squashfs -o ro /dev/vda /a && (cd /a && sha256sum file*) && umount /a
  while dd if=/dev/vda of=/dev/null bs=64k iflag=direct 2>/dev/null; do :; done & # the last disk goes under load
  reader=$!
  [ $n = 3 ] || { kill $reader; wait $reader; }
  echo unplug $n
  while [ -e /dev/vda ]; do sleep 0.1; done
  echo gone $n
done
`;
  const output = await runGuest({
    suite: 'bookworm',
    script,
    disks: [],
    directory: where,
    control: async (qmp, printed) => {
      for (const n of [1, 2, 3]) {
        await printed(`plug ${n}`);
        const addr = { type: 'unix', data: { path: socket } };
        await qmp.execute('chardev-add', {
          id: 'overlay',
          backend: { type: 'socket', data: { addr, server: false } },
        });
        await qmp.execute('device_add', {
          driver: 'vhost-user-blk-pci',
          id: 'overlay',
          chardev: 'overlay',
        });
        await printed(`unplug ${n}`);
        await qmp.execute('device_del', { id: 'overlay' });
        await qmp.event('DEVICE_DELETED');
        await qmp.event('DEVICE_DELETED'); // the virtio device, then the PCI device that it is on
        await qmp.execute('chardev-remove', { id: 'overlay' });
      }
    },
  });
  expect(output).toContain('gone 3');
  for (const [name, sum] of files) {
    expect(output.split(`${sum}  ${name}\n`)).toHaveLength(4);
  }
  const counted = await stopServing(server);
  expect(counted).toMatchObject({ connections: 3, failures: 0, violations: 0 });
});
