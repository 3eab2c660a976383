import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inputEndFrame } from '../../attacher/guest/session-frames.js';
import { Stage2Session } from '../support/stage2-session.js';

/**
 * How stage 2 finds a container by its name, in namespaces that stand for a guest: a process 1, its
 * own /var/lib, and containers that are folders with files of the host mounted into them. Needs root.
 */

const id = (digit: string): string => digit.repeat(60).padStart(64, '0a1b');
const dockerId = id('c');
const podmanId = id('d').replace('0a1b', '9f9f');
const scope = `docker-${dockerId}.scope`;

describe('a container of the guest', () => {
  let folder = '';
  let tree = '';
  let guest: ChildProcess;
  let enter: string[] = [];

  const up = (child: ChildProcess): Promise<unknown> =>
    new Promise((resolve, reject) => {
      child.stdout?.once('data', resolve);
      child.once('exit', () => {
        reject(new Error('it does not run'));
      });
    });

  const childOf = (pid: number): string =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();

  /** Runs a script in mounts of its own; all of it ends with the guest. */
  const start = async (script: string, options: string[] = []): Promise<void> => {
    const [first = '', ...words] = enter;
    const command = [...words, 'unshare', '--mount', ...options, 'sh', '-ec', script];
    await up(spawn(first, command, { stdio: ['ignore', 'pipe', 'inherit'] }));
  };

  const mountsOf = (root: string): string => {
    for (const name of ['usr', 'etc', 'run', 'mnt', 'proc', 'dev']) {
      mkdirSync(join(root, name), { recursive: true });
    }
    for (const name of ['bin', 'sbin', 'lib', 'lib64'])
      symlinkSync(`usr/${name}`, join(root, name));
    return `mount --bind /usr ${root}/usr; mount -t proc proc ${root}/proc; mount --bind /dev ${root}/dev`;
  };

  const container = async (
    name: string,
    files: Record<string, string>,
    { before = 'true', inside = 'true', options = [] as string[] } = {},
  ): Promise<void> => {
    const root = join(folder, name);
    const mounts = mountsOf(root);
    for (const [path, content] of Object.entries({ ...files, marker: name })) {
      writeFileSync(join(root, path), content);
    }
    const last = `${inside}; echo up; exec sleep 1000`;
    await start(`${before}; ${mounts}; exec chroot ${root} sh -ec '${last}'`, options);
  };

  const open = (name: string, command: string[]): Stage2Session => {
    const environment = ['PATH=/usr/bin:/bin'];
    return new Stage2Session({ command, environment, overlay: { tree }, container: name }, enter);
  };

  /** Which container has the name, or why none is entered. */
  const found = async (name: string): Promise<string> => {
    const session = open(name, ['cat', '/opt/file', '/marker']);
    session.stream.write(inputEndFrame());
    await session.closed;
    const failure = session.events.find(({ type }) => type === 'failed');
    return failure?.type === 'failed' ? `${failure.what} (${failure.errno})` : session.output;
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'debloat-name-'));
    tree = join(folder, 'tree');
    mkdirSync(tree);
    execFileSync('mount', ['-t', 'tmpfs', 'debloat-test', tree]);
    mkdirSync(join(tree, 'opt'));
    writeFileSync(join(tree, 'opt/file'), 'overlay and ');
    const cgroups = join(folder, 'cgroups');
    mkdirSync(cgroups);
    execFileSync('mount', ['-t', 'cgroup2', 'debloat-test', cgroups]);
    mkdirSync(join(cgroups, scope));

    const script = 'mount -t tmpfs none /var/lib; echo up; exec sleep 1000';
    guest = spawn('unshare', ['--mount', '--pid', '--fork', '--mount-proc', 'sh', '-ec', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await up(guest);
    const first = childOf(guest.pid ?? 0);
    enter = ['nsenter', '--target', first, '--mount', '--pid'];
    const lib = `/proc/${first}/root/var/lib`;
    const docker = join(lib, 'docker/containers', dockerId);
    mkdirSync(docker, { recursive: true });
    writeFileSync(
      join(docker, 'config.v2.json'),
      JSON.stringify({
        Config: { Labels: { Name: '/labelled', x: '"Name":"/quoted"' } },
        Name: '/web',
      }),
    );
    const podman = join(lib, 'containers/storage/overlay-containers');
    mkdirSync(podman, { recursive: true });
    writeFileSync(
      join(podman, 'containers.json'),
      JSON.stringify([
        { id: id('e'), names: ['other'] },
        { id: podmanId, names: ['kept'], metadata: '{"name":"told"}' },
      ]),
    );

    // A service of the guest, with mounts of its own.
    await start('echo up; exec sleep 1000');
    await container('docker', {}, { before: `echo 0 > ${cgroups}/${scope}/cgroup.procs` });
    await container('env', { 'run/.containerenv': 'engine="podman-5"\nname="pod"\n' });
    await container('short', { 'etc/hostname': `${podmanId.slice(0, 12)}\n` });
    // Files that must be neither waited for nor followed out of the container.
    const outside = join(folder, 'env/run/.containerenv');
    const tricks = `ln -s ${outside} /run/.containerenv`;
    await container('hostname', { 'etc/hostname': 'alone' }, { inside: tricks });
    await container('fifo', {}, { inside: 'mkfifo /run/.containerenv /etc/hostname' });
    await container('twin-1', { 'etc/hostname': 'twins' });
    await container('twin-2', { 'etc/hostname': 'twins' });
    const service = 'unshare --mount sleep 1000 &';
    await container(
      'system',
      { 'etc/hostname': 'system' },
      { inside: `${service} true`, options: ['--pid', '--fork'] },
    );
  });

  afterAll(async () => {
    const ended = new Promise((resolve) => guest.once('exit', resolve));
    process.kill(Number(childOf(guest.pid ?? 0)), 'SIGKILL');
    await ended;
    rmdirSync(join(folder, 'cgroups', scope));
    execFileSync('umount', [join(folder, 'cgroups'), tree]);
    rmSync(folder, { recursive: true, force: true });
  });

  it.each([
    ['the path of its cgroup', scope, 'docker'],
    ['the ID in that path', dockerId, 'docker'],
    ['the beginning of its ID', dockerId.slice(0, 4), 'docker'],
    ['Docker’s record', 'web', 'docker'],
    ['podman’s record', 'kept', 'short'],
    ['what podman mounts into it', 'pod', 'env'],
    ['its hostname', 'alone', 'hostname'],
    ['its hostname, where services in it have mounts of their own', 'system', 'system'],
  ])('is found by %s', async (_, name, root) => {
    expect(await found(name)).toBe(`overlay and ${root}`);
  });

  it.each([
    'nobody',
    dockerId.slice(0, 3),
    'labelled',
    'quoted',
    'told',
    readFileSync('/etc/hostname', 'utf8').trim(),
  ])('is not found by %s', async (name) => {
    expect(await found(name)).toBe(`no container ${name} in the guest (0)`);
  });

  it('is not guessed where there are two', async () => {
    expect(await found('twins')).toBe('more than one container twins in the guest (0)');
  });

  it('is found while another session is in it', async () => {
    const session = open('system', ['sh', '-c', 'echo in; exec cat']);
    await session.until('in');
    expect(await found('system')).toBe('overlay and system');
    session.stream.write(inputEndFrame());
    await session.closed;
    expect(session.events.at(-1)).toEqual({ type: 'exit', code: 0 });
  });
});
