import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { machineTraces, soon } from '../support/session-traces.js';

/** Sessions in containers whose users are others than the machine's, as rootless engines make them. Needs root. */

describe('a container with a user namespace of its own', () => {
  const directory = mkdtempSync(join(tmpdir(), 'debloat-attach-users-'));
  const root = join(directory, 'root');
  const overlay = join(directory, 'overlay.squashfs');
  const ownRoot = [
    `mount --bind ${root} ${root}; mount --rbind /usr ${root}/usr; mount --rbind /dev ${root}/dev`,
    `mount -t proc proc ${root}/proc; touch ${root}/run/told; mount --bind /etc/hostname ${root}/run/told`,
    `cd ${root}; pivot_root . old; cd /; umount -l /old`,
  ].join('; ');
  const children: ChildProcess[] = [];

  beforeAll(() => {
    chmodSync(directory, 0o755);
    for (const name of ['usr', 'etc', 'run/app', 'mnt', 'proc', 'dev', 'old']) {
      mkdirSync(join(root, name), { recursive: true });
    }
    for (const name of ['bin', 'sbin', 'lib', 'lib64'])
      symlinkSync(`usr/${name}`, join(root, name));
    writeFileSync(join(root, 'etc/kept'), 'kept\n');
    execFileSync('chown', ['-R', '100000:200000', root]);
    const tree = join(directory, 'tree');
    mkdirSync(join(tree, 'opt'), { recursive: true });
    writeFileSync(join(tree, 'opt/hello'), 'from the overlay\n');
    chownSync(join(tree, 'opt/hello'), 33, 34);
    execFileSync('mksquashfs', [tree, overlay, '-noappend', '-quiet', '-no-progress']);
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });

  const lineOf = (child: ChildProcess): Promise<string> =>
    new Promise((resolve, reject) => {
      child.stdout?.once('data', (bytes: Buffer) => {
        resolve(bytes.toString().trim());
      });
      child.once('exit', () => {
        reject(new Error('it does not run'));
      });
    });

  const started = (command: string, ...words: string[]): ChildProcess => {
    const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    return child;
  };

  /** A container whose root is 100000, made by `script`, as its own root; its process. */
  const contained = async (script: string): Promise<number> => {
    const users = started('unshare', '--user', 'sh', '-c', 'echo up; exec sleep 1000');
    await lineOf(users);
    writeFileSync(`/proc/${users.pid}/uid_map`, '0 100000 65536');
    writeFileSync(`/proc/${users.pid}/gid_map`, '0 200000 65536');
    const inside = started(
      ...([
        'nsenter',
        '--user',
        '--target',
        `${users.pid}`,
        '--setuid',
        '0',
        '--setgid',
        '0',
      ] as const),
      ...['unshare', '--mount', '--uts', '--pid', '--fork', '--kill-child'],
      ...['sh', '-ec', `${script}; hostname contained; echo up; exec sleep 1000`],
    );
    await lineOf(inside);
    const path = `/proc/${inside.pid}/task/${inside.pid}/children`;
    return Number(readFileSync(path, 'utf8'));
  };

  const attach = (pid: number, ...words: string[]) =>
    runCli(['attach', '--overlay', overlay, `container://${pid}`, ...words], {
      env: { DEBLOAT_AUDIT_LOG: join(directory, 'audit.log') },
    });

  const facts = (pid: number) => ({
    files: execFileSync('find', [root, '-printf', '%p %m %U %G %s %t\n']).toString(),
    theirMounts: readFileSync(`/proc/${pid}/mountinfo`, 'utf8'),
    ...machineTraces(directory, overlay),
  });

  it('sees the overlay over its root, as one of its own users', async () => {
    const pid = await contained(ownRoot);
    const before = facts(pid);
    const script =
      'cat /opt/hello /etc/kept; hostname; cat /proc/1/comm; readlink /proc/self/ns/user; id -u; id -G;' +
      'ls -d /run/app; wc -l < /run/told; readlink /proc/1/root; stat -c "%u %g" / /etc/kept;' +
      'echo new > /etc/new && echo >> /etc/kept && rm -r /run/app && touch /top && stat -c %u /top;' +
      'stat -c "%u %g" /opt/hello';
    const { code, stdout, stderr } = await attach(pid, '--', 'sh', '-c', script);
    // squashfs is told of users from Linux 6.2 on.
    const toldOfUsers = !stderr.includes('mount_setattr');
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/^.*is used unchecked(\n.*mount_setattr.*)?$/),
    ]);
    expect(stdout.split('\n')).toEqual([
      ...['from the overlay', 'kept', 'contained', 'sleep', readlinkSync(`/proc/${pid}/ns/user`)],
      ...['0', '0', '/run/app', '1', '/', '0 0', '0 0', '0'],
      toldOfUsers ? '33 34' : '65534 65534',
    ]);
    const asUser = ['--user', '33:34', '--exec', 'id -u; id -g; touch /etc/new 2>&1'];
    const plain = await attach(pid, ...asUser);
    expect(plain.stdout).toMatch(/^33\n34\ntouch: .*Permission denied$/);
    const unknown = await attach(pid, '--user', '70000', '--', 'true');
    expect([unknown.code, unknown.stderr.split('\n').at(-1)]).toEqual([
      126,
      "debloat: the container's user namespace has no such user or group",
    ]);
    await soon(() => {
      expect(facts(pid)).toEqual(before);
    });
  });

  it('has a terminal that belongs to its user', async () => {
    const pid = await contained(ownRoot);
    const main = new URL('../../dist/cli/main.js', import.meta.url).pathname;
    const words = `${process.execPath} -- ${main} attach --overlay ${overlay} container://${pid}`;
    const command = `${words} --user 33:34 -- sh -c 'stat -c %u $(tty); echo by its name > $(tty)'`;
    // Its input stays open: a terminal at its end is hung up, however far the session is.
    const typed = await execa('script', ['--quiet', '--command', command, '/dev/null'], {
      env: { DEBLOAT_AUDIT_LOG: join(directory, 'audit.log') },
      stdin: 'pipe',
    });
    expect(typed.stdout).toMatch(/33\r\n(.*\r\n)?by its name\r?$/);
  });

  it('sees both by bind mounts where the kernel gives no overlayfs, and that is said', async () => {
    // In a copy of the machine's mounts all are locked: no root is to be had without them.
    const mark = mkdtempSync('/run/debloat-attach-users-');
    try {
      chmodSync(mark, 0o755);
      mkdirSync(join(mark, 'covered'));
      mkdirSync(join(mark, 'seen'));
      const pid = await contained(
        `mount -t proc proc /proc; mount -t tmpfs none ${mark}/covered; echo told > ${mark}/covered/file`,
      );
      const before = facts(pid);
      const script = `cat /opt/hello ${mark}/covered/file; hostname; ls ${mark}; readlink /proc/1/root; touch ${mark}/seen/new`;
      const { stdout, stderr } = await attach(pid, '--', 'sh', '-c', script);
      expect(stdout).toBe('from the overlay\ntold\ncontained\ncovered\nseen\n/');
      expect(stderr).toMatch(/^debloat: the tree is bind mounts, .* overlayfs: invalid argument$/m);
      expect(stderr).toContain("seen/new': Read-only file system");
      await soon(() => {
        expect(facts(pid)).toEqual(before);
      });
    } finally {
      rmSync(mark, { recursive: true });
    }
  });
});
