import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { overlayFormats } from '../../builder/types.js';
import { readVmDescription } from '../../builder/vm/description.js';
import { runCli, runCliWell, workspaceParent } from '../support/cli.js';
import { fakeTrace } from '../support/fake-image.js';
import { testImage } from '../support/images.js';
import { tellingImage } from '../support/telling-image.js';
import { kernelOf, type Suite } from '../vm/kernel.js';
import { makeInitramfs } from '../vm/initramfs.js';
import { MicroVm } from '../vm/microvm.js';

const dir = mkdtempSync(join(tmpdir(), 'debloat-microvm-'));
const machines: MicroVm[] = [];
let small: string;

beforeAll(async () => {
  small = await tellingImage(join(dir, 'small'));
  const trace = {
    ...fakeTrace(['/bin/busybox']),
    image: { reference: 'x', configDigest: `sha256:${'0'.repeat(64)}` },
  };
  writeFileSync(join(dir, 'trace.json'), JSON.stringify(trace));
});
afterEach(() => machines.splice(0).forEach((machine) => machine.kill()));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const quickly = [
  '--no-verify',
  '--trace',
  join(dir, 'trace.json'),
  '--keep',
  '/**',
  '--no-profile',
];

function kernelOptions(suite: Suite): string[] {
  const kernel = kernelOf(suite);
  return ['--vm-kernel', join(kernel, 'vmlinuz'), '--vm-modules', join(kernel, 'modules')];
}

async function boot(...[path, change]: [string, ((command: string) => string)?]): Promise<MicroVm> {
  const machine = await MicroVm.boot(path, await readVmDescription(path), change);
  machines.push(machine);
  return machine;
}

function expectTold(output: string, digest: string): void {
  expect(output).toContain(
    "args <a b> <c'd> 2; greeting hello  world; home /home/app; in /made/for it\n",
  );
  expect(output).toContain('ids 1234 1235 6 77 1235 \n');
  expect(output).toContain('name small; 10.0.2.15\tsmall; nameserver 10.0.2.3\n');
  expect(output).toContain(`image debloat.image=${digest}\n`);
  expect(output).toMatch(
    /mounts .*\/:\w+ .*\/proc:proc .*\/dev:devtmpfs .*\/dev\/pts:devpts .*\/dev\/shm:tmpfs/,
  );
  expect(output).toMatch(/^drwxr-xr-x .* \/data$/m);
  expect(output).toMatch(/^drwx------ .* \/\.debloat$/m);
  expect(output).toMatch(/^drwxrwxrwt .* \/dev\/shm$/m);
  expect(output).toContain('inet 127.0.0.1\n');
  expect(output).toContain('listening 1\n');
  expect(output).toContain('zombies 0\n');
  expect(output).toContain('debloat: the workload ended with status 7\n');
  expect(output).not.toMatch(/cannot|no network|panic/i);
}

test.each([
  ['bookworm', 'ext4'],
  ['trixie', 'squashfs'],
] as const)(
  'nginx serves and powers down in a microVM: %s kernel, %s root',
  async (suite, root) => {
    const vm = join(dir, `nginx-${suite}`);
    const out = join(dir, `nginx-${suite}-out`);
    const built = await runCliWell([
      ...['build', testImage('nginx').oci, '--runtime', 'runc', '--http', '/', '-o', out],
      ...['--vm', vm, '--vm-root', root, ...kernelOptions(suite)],
    ]);
    expect(built.stdout).toContain(`${vm} (root.${root} `);
    expect(built.stderr).toContain('qemu-system-x86_64 ');
    expect(built.stderr).toContain('cloud-hypervisor ');
    const before = readFileSync(join(vm, `root.${root}`));
    const machine = await boot(vm);
    expect(await machine.get('/')).toContain('Served by nginx');
    console.log(
      `${suite}, ${root}: page after ${((performance.now() - machine.startedAt) / 1000).toFixed(1)} s`,
    );
    await machine.pressPowerButton();
    const output = await machine.whenOff();
    expect(output).toContain('"GET / HTTP/1.1" 200'); // its log is on the console
    // Its log may come in between.
    expect(output).toMatch(
      /^debloat: powering down: stopping the workload\n[^]*^debloat: the workload ended with status 0$/m,
    );
    expect(output).toContain('reboot: Power down');
    if (root === 'ext4') {
      execFileSync('e2fsck', ['-fn', join(vm, 'root.ext4')], { stdio: 'pipe' });
    } else {
      expect(readFileSync(join(vm, `root.${root}`)).equals(before)).toBe(true);
    }
  },
);

test('the image’s user, groups, environment, directory and exit status: bullseye kernel, erofs root', async () => {
  const vm = join(dir, 'told');
  const out = join(dir, 'told-out');
  await runCliWell([
    ...['build', small, ...quickly, '-o', out],
    ...['--vm', vm, '--vm-root', 'erofs', ...kernelOptions('bullseye')],
  ]);
  const description = await readVmDescription(vm);
  const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as {
    source: { manifestDigest: string };
    overlay: { digest: string };
    vm: { root: { digest: string; size: number } };
  };
  expect(description.source.manifestDigest).toBe(report.source.manifestDigest);
  expect(description.overlay.digest).toBe(report.overlay.digest);
  expect(description.root).toMatchObject(report.vm.root);
  const machine = await boot(vm, (command) =>
    command.replace('hostfwd=tcp:127.0.0.1:8080-:80', ''),
  );
  expectTold(await machine.whenOff(), report.source.manifestDigest);
});

test('a kernel that mounts the read-only root itself, without our initramfs', async () => {
  const vm = join(dir, 'direct');
  const made = await runCliWell([
    'build',
    small,
    ...quickly,
    '-o',
    join(dir, 'direct-out'),
    '--vm',
    vm,
  ]);
  expect(made.stderr).toContain('-kernel KERNEL');
  const description = await readVmDescription(vm);
  expect(description).toMatchObject({ kernel: null, initramfs: null });
  expect(description.commandLine).toContain('init=/.debloat/init');
  // the same as a kernel with all of it built in does, done by another's initramfs
  const kernel = kernelOf('bookworm');
  const script =
    'mount -t squashfs -o ro /dev/vda /mnt; umount /proc /sys /dev; exec switch_root /mnt /.debloat/init\n';
  const modules = ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay', 'virtio_net'];
  writeFileSync(join(vm, 'other-initramfs'), makeInitramfs({ kernel, modules, script }));
  const machine = await boot(vm, (command) =>
    command.replace('-kernel KERNEL', `-kernel ${kernel}/vmlinuz -initrd other-initramfs`),
  );
  const output = await machine.whenOff();
  expectTold(output, description.source.manifestDigest);
  expect(output).toMatch(/mounts .*\/:overlay /);
});

test('a workload that ignores its stop signal is killed after the grace', async () => {
  const vm = join(dir, 'stubborn');
  await runCliWell([
    ...['build', small, ...quickly, '-o', join(dir, 'stubborn-out'), '-u', '0'],
    ...[
      '--entrypoint',
      JSON.stringify([
        '/bin/sh',
        '-c',
        'trap "" USR1; echo ready; while :; do /bin/busybox sleep 1; done',
      ]),
    ],
    ...['--vm', vm, '--vm-root', 'ext4', ...kernelOptions('bookworm')],
  ]);
  const machine = await boot(vm, (command) => command.replace('quiet', 'quiet debloat.grace=1'));
  await expect.poll(() => machine.output, { timeout: 60_000 }).toContain('ready\n');
  await machine.pressPowerButton();
  expect(await machine.whenOff()).toContain(
    'debloat: the workload does not stop: killing it\ndebloat: the workload was killed by signal 9: status 137\n',
  );
});

test('the same digests without root', async () => {
  const open = join(dir, 'open');
  mkdirSync(open);
  cpSync(join(dir, 'small'), join(open, 'small'), { recursive: true });
  cpSync(join(dir, 'trace.json'), join(open, 'trace.json'));
  cpSync(kernelOf('trixie'), join(open, 'kernel'), { recursive: true });
  execFileSync('chmod', ['-R', 'a+rwX', dir]);
  const modules = ['--vm-modules', `${open}/kernel/modules`];
  const args = (name: string, root: string) => [
    ...['build', `oci:${open}/small:1`, ...quickly, '-o', join(open, `${name}-out`)],
    ...['--vm', join(open, name), '--vm-root', root, '--vm-kernel', `${open}/kernel/vmlinuz`],
    ...(root === 'squashfs' ? modules : []),
  ];
  const main = join(import.meta.dirname, '../../dist/cli/main.js');
  for (const root of overlayFormats) {
    await runCliWell(args(`root-${root}`, root));
    execFileSync(
      'setpriv',
      [
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        process.execPath,
        main,
        ...args(`user-${root}`, root),
      ],
      { env: { ...process.env, DEBLOAT_TMPDIR: open, HOME: open }, stdio: 'pipe' },
    );
    const [byRoot, byUser] = [`root-${root}`, `user-${root}`].map((name) => join(open, name));
    expect(await readVmDescription(byUser ?? '')).toEqual(await readVmDescription(byRoot ?? ''));
    for (const name of readdirSync(byRoot ?? '')) {
      const [one, other] = [byRoot, byUser].map((where) => readFileSync(join(where ?? '', name)));
      expect(one?.equals(other ?? Buffer.alloc(0)), name).toBe(true);
    }
  }
});

test('failures are one sentence with a hint, and leave nothing', async () => {
  const kernel = kernelOf('bookworm');
  const other = kernelOf('trixie');
  const empty = join(dir, 'no-modules');
  mkdirSync(empty);
  const foreign = join(dir, 'foreign');
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(183, 18);
  writeFileSync(foreign, header);
  const bad: [string[], string, string][] = [
    [
      ['--vm-kernel', '/nowhere'],
      'the kernel /nowhere cannot be read',
      'give the file of a kernel',
    ],
    [['--vm-kernel', '/etc/passwd'], '/etc/passwd is no kernel', 'give a kernel with --vm-kernel'],
    [
      ['--vm-kernel', foreign],
      `the kernel ${foreign} is for arm64, the image for amd64`,
      'give a kernel for amd64',
    ],
    [
      ['--vm-kernel', `${kernel}/vmlinuz`, '--vm-modules', empty],
      `module virtio_pci is not in ${empty}`,
      'modules.builtin',
    ],
    [
      ['--vm-kernel', `${kernel}/vmlinuz`, '--vm-modules', `${other}/modules`],
      'is for the kernel 6.12',
      '/lib/modules/6.1',
    ],
  ];
  for (const [args, message, hint] of bad) {
    const vm = join(dir, 'failed');
    const { code, stderr } = await runCli([
      'build',
      small,
      ...quickly,
      '-o',
      join(dir, 'failed-out'),
      '--vm',
      vm,
      ...args,
    ]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(message) as string,
    });
    expect(stderr).toContain(hint);
    expect([existsSync(vm), existsSync(join(dir, 'failed-out'))]).toEqual([false, false]);
  }
  const used = await runCli(['build', small, '--vm-kernel', 'x']);
  expect(used).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--vm-kernel needs --vm') as string,
  });
  const unwritable = await runCli([
    'build',
    small,
    ...quickly,
    '-o',
    join(dir, 'failed-out'),
    '--vm',
    '/proc/vm',
  ]);
  expect(unwritable.stderr).toContain('cannot write to the output directory /proc/vm');
  expect(unwritable.stderr).toContain('with --vm');

  const full = join(dir, 'full');
  mkdirSync(full);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=400k', 'tmpfs', full]);
  try {
    const { stderr, code } = await runCli([
      'build',
      small,
      ...quickly,
      '-o',
      join(dir, 'failed-out'),
      '--vm',
      full,
    ]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the disk is full: the root disk') as string,
    });
    expect(readdirSync(full)).toEqual([]);
  } finally {
    execFileSync('umount', [full]);
  }
  expect(existsSync(join(dir, 'failed-out'))).toBe(false);
  expect(readdirSync(workspaceParent)).toEqual([]);
});
