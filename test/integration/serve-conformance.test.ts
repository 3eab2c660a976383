import { execFileSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { debianTools } from '../support/blkio.js';
import { serveImage, stopServing } from '../support/serving.js';
import { runGuest } from '../vm/guest.js';

/*
 * What xfstests' quick group exercises on a block device, by programs that Debian has (it has no
 * xfstests): fio, stress-ng, badblocks, blkdiscard, and ext4 and xfs with their checkers. They
 * come to the guest on a read-only disk of ours.
 */
const directory = mkdtempSync(join(tmpdir(), 'debloat-conformance-'));
const servers: ChildProcess[] = [];
afterAll(() => {
  servers.forEach((server) => server.kill('SIGKILL'));
  rmSync(directory, { recursive: true });
});

const fio =
  'fio --output-format=terse --verify=crc32c --verify_fatal=1 --do_verify=1 --group_reporting';
const stress = 'stress-ng --temp-path /mnt --verify --metrics-brief --timeout 4s';

/** Each is run in a chroot of the tools, with the writable disk as /dev/vdb; all must succeed. */
const checks: Record<string, string> = {
  'size and mode': `[ $(blockdev --getsize64 /dev/vdb) = $((384 << 20)) ] && [ $(blockdev --getro /dev/vda) = 1 ]`,
  'no write to a read-only disk': `! dd if=/dev/zero of=/dev/vda bs=4k count=1`,
  'no access beyond the end': `! dd if=/dev/zero of=/dev/vdb bs=512 count=1 oflag=direct seek=$((384 << 11)) && [ $(dd if=/dev/vdb bs=512 count=1 iflag=direct skip=$((384 << 11)) status=none | wc -c) = 0 ]`,
  'fio: asynchronous writes of all sizes': `${fio} --name=a --filename=/dev/vdb --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bsrange=512-128k --bs_unaligned=0 --blockalign=512 --size=24m`,
  'fio: two jobs with flushes': `${fio} --name=b --filename=/dev/vdb --direct=1 --ioengine=io_uring --iodepth=8 --rw=randwrite --bs=4k --fdatasync=32 --numjobs=2 --size=4m --offset_increment=64m`,
  'fio: vectored and mixed': `${fio} --name=c --filename=/dev/vdb --ioengine=pvsync --rw=randrw --bs=8k --size=8m --offset=128m`,
  'fio: mixed with discards': `fio --name=d --filename=/dev/vdb --direct=1 --rw=trimwrite --bs=64k --size=16m --output-format=terse`,
  badblocks: `badblocks -w -t random -b 65536 /dev/vdb 256`,
  'discard and zeroes': `blkdiscard -o 1M -l 8M /dev/vdb && blkdiscard -z -o 16M -l 33M /dev/vdb && cmp -n $((33 << 20)) -i $((16 << 20)):0 /dev/vdb /dev/zero && cmp -n $((8 << 20)) -i $((1 << 20)):0 /dev/vdb /dev/zero`,
  'ext4: make, mount': `mkfs.ext4 -q -F /dev/vdb && mount -o discard /dev/vdb /mnt`,
  'ext4: stress': `${stress} --hdd 1 --hdd-bytes 8m --iomix 1 --iomix-bytes 8m --fallocate 1 --fallocate-bytes 8m --aio 1 --revio 1 --revio-bytes 4m --sync-file 1 --sync-file-bytes 4m --rename 1 --link 1 --dentry 1 --dentries 64`,
  'ext4: fio on files': `${fio} --name=e --directory=/mnt --ioengine=mmap --rw=randrw --bs=4k --size=8m --fsync=64 && ${fio} --name=f --directory=/mnt --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=4k --size=8m`,
  'ext4: freeze, trim, check': `fsfreeze -f /mnt && fsfreeze -u /mnt && rm -rf /mnt/* && fstrim /mnt && umount /mnt && e2fsck -fn /dev/vdb`,
  'xfs: make, mount': `mkfs.xfs -q -f /dev/vdb && mount -t xfs -o discard /dev/vdb /mnt`,
  'xfs: holes and zeroes': `xfs_io -f -d -c 'pwrite -S 7 0 1m' -c 'fpunch 64k 64k' -c 'fzero 256k 64k' -c 'falloc 1m 1m' -c 'fcollapse 0 4k' -c 'finsert 0 4k' -c fsync -c 'truncate 3m' /mnt/file`,
  'xfs: stress': `${stress} --hdd 1 --hdd-bytes 8m --fallocate 1 --fallocate-bytes 8m --rename 1`,
  'xfs: log recovery after a shutdown': `cp /usr/bin/fio /mnt/kept && sync && xfs_io -x -c 'shutdown -f' /mnt && umount /mnt && mount -t xfs /dev/vdb /mnt && cmp /usr/bin/fio /mnt/kept`,
  'xfs: check': `umount /mnt && xfs_repair -n /dev/vdb`,
};

const script = `
echo; mkdir /t && mount -t squashfs -o ro /dev/vda /t
mount -t proc proc /t/proc; mount -t sysfs sys /t/sys; mount --bind /dev /t/dev; mount -t tmpfs tmp /t/tmp
check() {
  if chroot /t /bin/bash -c "PATH=/usr/sbin:/usr/bin; cd /tmp; $2" >/tmp/log 2>&1; then echo "passed: $1"; else cat /tmp/log; echo "FAILED: $1"; fi
}
${Object.entries(checks)
  .map(([name, command]) => `check '${name}' '${command.replaceAll("'", `'\\''`)}'`)
  .join('\n')}
dmesg | grep -iE 'error, dev vdb|ext4-fs error|corrupt'
`;

it.each([
  ['a writable file', ['--queues', '2']],
  ['a session', ['--cow', '--queues', '2']],
])('%s behaves as a disk under a Debian guest', async (name, args) => {
  const where = join(directory, name.replaceAll(' ', '-'));
  const disk = `${where}.disk`;
  execFileSync('truncate', ['-s', '384M', disk]);
  execFileSync('mkdir', [where]);
  const sockets = [join(where, 'tools'), join(where, 'disk')] as const;
  const tools = await serveImage(join(debianTools('guest'), 'tools.squashfs'), sockets[0], [
    '--read-only',
  ]);
  const server = await serveImage(disk, sockets[1], args);
  servers.push(tools, server);
  const output = await runGuest({
    suite: 'bookworm',
    script,
    disks: [{ socket: sockets[0] }, { socket: sockets[1], queues: 2 }],
    directory: where,
    cpus: 2,
    modules: ['xfs'],
  });
  const passed = [...output.matchAll(/^passed: (.*)$/gm)].map(([, check]) => check);
  expect(passed, output).toEqual(Object.keys(checks));
  expect(output).not.toMatch(/error, dev vdb|ext4-fs error|corrupt/i);
  expect(await stopServing(server)).toMatchObject({ violations: 0, connections: 1 });
});
