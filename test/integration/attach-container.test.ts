import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli, runCliWell, startCli } from '../support/cli.js';
import { docker, httpStatus as status } from '../support/container.js';
import { registryAddress, testImage } from '../support/images.js';
import { scratchDirectory } from '../support/scratch.js';
import { loopsOf, machineTraces, soon, stage2Processes } from '../support/session-traces.js';
import { treeListing } from '../support/tree-listing.js';

/** Sessions in containers of the real Docker engine, which run an nginx that debloat cut down. */

const main = new URL('../../dist/cli/main.js', import.meta.url).pathname;
const scratch = scratchDirectory();
const overlay = join(scratch, 'out', 'overlay.squashfs');
const run = `attach-${process.pid}`;
const image = `debloat-test/${run}:1`;
const auditLog = join(scratch, 'audit.log');
const env = { DEBLOAT_AUDIT_LOG: auditLog };
const containers: string[] = [];

function start(name: string, ...options: string[]): string {
  const full = `${run}-${name}`;
  execFileSync('docker', ['run', '--detach', '--name', full, ...options], { stdio: 'pipe' });
  containers.push(full);
  return full;
}

function inspected(container: string, format: string): string {
  return execFileSync('docker', ['inspect', '--format', format, container]).toString().trim();
}

const attach = (container: string, ...rest: string[]) =>
  runCli(['attach', '--overlay', overlay, `docker://${container}`, ...rest], { env });

/** What a session could change: of this machine, and of the container. */
function facts(container: string) {
  const pid = inspected(container, '{{.State.Pid}}');
  return {
    // of no order
    diff: execFileSync('docker', ['diff', container]).toString().split('\n').sort(),
    processes: execFileSync('docker', ['top', container, '-eo', 'pid,args']).toString(),
    theirMounts: readFileSync(`/proc/${pid}/mountinfo`, 'utf8'),
    ...machineTraces(scratch, overlay),
  };
}

/** nginx has written all that it writes when it has a worker. */
const started = (container: string) =>
  soon(() => {
    expect(execFileSync('docker', ['top', container]).toString()).toContain('worker process');
  });

describe('debloat attach docker://', () => {
  let web = '';

  beforeAll(async () => {
    await runCliWell([
      ...['build', testImage('nginx').registry, '--runtime', 'docker', '--http', '/'],
      ...['--output-dir', join(scratch, 'out'), '--tag', `docker://${image}`],
      ...['--tag', `registry://${registryAddress()}/${run}:1`],
    ]);
    web = start('web', image);
    const address = inspected(web, '{{.NetworkSettings.IPAddress}}');
    for (let left = 100; (await status(address)) !== 200 && left > 0; left--) await sleep(100);
    expect(await status(address)).toBe(200);
    // Its health check is a process that comes and goes.
    execFileSync('docker', ['rm', '--force', web]);
    web = start('web2', '--no-healthcheck', image);
    await started(web);
  });

  afterAll(() => {
    execFileSync('docker', ['rm', '--force', ...containers], { stdio: 'pipe' });
    execFileSync('docker', ['rmi', '--force', image], { stdio: 'pipe' });
  });

  it('shows the original in the running container, which serves on and is as before', async () => {
    expect(await docker('exec', web, 'bash', '-c', 'true').catch(String)).toMatch(/not found/);
    const before = facts(web);
    const address = inspected(web, '{{.NetworkSettings.IPAddress}}');
    const answers: (number | string)[] = [];
    const asked = new AbortController();
    const asking = (async () => {
      while (!asked.signal.aborted) answers.push(await status(address));
    })();
    const script =
      'dpkg -l nginx-light | tail -1; cat /etc/debian_version; tr "\\0" " " < /proc/1/cmdline; echo; ' +
      'cat /proc/[0-9]*/comm | grep -c nginx; touch /etc/written /usr/bin/new; rm /etc/passwd; hostname; echo "$SITE_NAME $1"';
    const { code, stdout, stderr } = await attach(web, '--', 'bash', '-c', script, 'x', 'y z');
    asked.abort();
    await asking;
    expect([code, stderr]).toEqual([0, '']);
    const [packages, version, init, nginx, host, site] = stdout.split('\n');
    expect(packages).toMatch(/^ii\s+nginx-light/);
    expect(version).toMatch(/^\d+\.\d+/);
    expect(init).toContain('nginx: master process');
    expect(Number(nginx)).toBeGreaterThan(1);
    expect(host).toBe(inspected(web, '{{.Config.Hostname}}'));
    expect(site).toBe('debloat y z');
    expect(answers.length).toBeGreaterThan(5);
    expect(new Set(answers)).toEqual(new Set([200]));
    await soon(() => {
      expect(facts(web)).toEqual(before);
    });
  });

  it('finds the overlay by the image: in a local directory, else in its registry', async () => {
    const script = ['--', 'dpkg-query', '--show', 'nginx-light'];
    const local = await runCli(['attach', `docker://${web}`, ...script], { env, cwd: scratch });
    expect(local).toMatchObject({ code: 0, stderr: '' });
    expect(local.stdout).toMatch(/^nginx-light\t/);

    const name = `${registryAddress()}/${run}:1`;
    await docker('rm', '--force', web);
    await docker('rmi', '--force', image);
    await docker('pull', name);
    await docker('tag', name, image);
    web = start('pulled', '--no-healthcheck', image);
    const remote = await runCli(['attach', `docker://${web}`, ...script], { env, cwd: '/' });
    expect(remote.stderr).toContain('Fetch the overlay');
    expect(remote).toMatchObject({ code: 0, stdout: local.stdout });
    expect(stage2Processes()).toEqual([]);
  });

  it('works for a container that is read-only and one that is not root', async () => {
    const still = ['--entrypoint', 'sh', image, '-c', 'while :; do read x < /dev/zero; done'];
    for (const [name, ...options] of [
      ['read-only', '--read-only', '--network', 'none'],
      ['user', '--user', '33:33', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'],
    ] as [string, ...string[]][]) {
      const container = start(name, ...options, ...still);
      const before = facts(container);
      const script = 'bash --version | head -1; id -un; echo x > /etc/new && cat /etc/new';
      expect(await attach(container, '--', 'bash', '-c', script)).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^GNU bash.*\nroot\nx$/) as string,
      });
      const asUser = ['--user', 'www-data', '--cwd', '/var/www', '-e', 'A=1', '-e', 'B=2'];
      const plain = await attach(container, ...asUser, '--exec', 'id; pwd; echo $A$B $HOME');
      expect(plain).toMatchObject({
        code: 0,
        stdout: 'uid=33(www-data) gid=33(www-data) groups=33(www-data)\n/var/www\n12 /var/www',
      });
      await soon(() => {
        expect(facts(container)).toEqual(before);
      });
      const pid = inspected(container, '{{.State.Pid}}');
      const byPid = [
        'attach',
        '--overlay',
        overlay,
        `container://${pid}`,
        '--',
        'bash',
        '-c',
        'exit 5',
      ];
      const plainPid = await runCli(byPid, { env });
      expect(plainPid.code).toBe(5);
      expect(plainPid.stderr).toContain('unchecked');
      await docker('rm', '--force', container);
    }
  });

  it.each(['erofs', 'ext4'])('shows the original by an overlay of %s', async (format) => {
    const out = join(scratch, format);
    const other = `debloat-test/${run}-${format}:1`;
    await runCliWell([
      ...['build', testImage('nginx').docker, '--trace', join(scratch, 'out', 'trace.json')],
      ...['--overlay', format, '--no-verify', '--output-dir', out, '--tag', `docker://${other}`],
    ]);
    const container = start(format, '--no-healthcheck', other);
    try {
      await started(container);
      const before = facts(container);
      const file = ['--overlay', join(out, `overlay.${format}`)];
      const command = ['attach', ...file, `docker://${container}`, '--', 'sh', '-c', treeListing];
      const { code, stdout, stderr } = await runCli(command, { env });
      // By the attempt the kernel has loaded the module, if it has it as one.
      if (readFileSync('/proc/filesystems', 'utf8').includes(`\t${format}\n`)) {
        expect([code, stderr]).toEqual([0, '']);
        const original = ['--rm', '--entrypoint', 'sh', 'debloat-test/nginx:1', '-c', treeListing];
        expect(stdout.length).toBeGreaterThan(100_000);
        expect(stdout).toBe(await docker('run', ...original));
      } else {
        console.warn(`this machine’s kernel has no ${format}: only the refusal was tested`);
        expect(code).toBe(1);
        expect(stderr).toContain(`kernel has no ${format} driver, which ${file[1] ?? ''} needs.`);
      }
      await soon(() => {
        expect(facts(container)).toEqual(before);
      });
      expect(loopsOf(out)).toEqual([]);
    } finally {
      await docker('rm', '--force', container);
      await docker('rmi', '--force', other);
    }
  });

  it('says why a file is not mounted as the overlay', async () => {
    const before = facts(web);
    const target = `container://${inspected(web, '{{.State.Pid}}')}`;
    const file = join(scratch, 'odd');
    writeFileSync(file, 'no file system');
    const none = await runCli(['attach', '--overlay', file, target, '--', 'true'], { env });
    expect([none.code, none.stderr]).toEqual([
      1,
      `error: ${file} is no overlay: it is neither squashfs, erofs nor ext4.\n hint: an overlay is what \`debloat build\` writes: overlay.squashfs, .erofs or .ext4`,
    ]);

    const bytes = Buffer.alloc(1 << 20);
    bytes.writeUInt32LE(0xe0f5e1e2, 1024); // the magic of erofs, and nothing behind it
    writeFileSync(file, bytes);
    // A kernel without it, as debloat sees one: its list is covered in a mount namespace of our own.
    const list = join(scratch, 'filesystems');
    for (const [lines, sentence] of [
      ['nodev\tproc\n\terofs\n', `does not mount ${file}, an erofs image: `],
      [
        'nodev\tproc\n\tsquashfs\n',
        `This machine’s kernel has no erofs driver, which ${file} needs.`,
      ],
    ] as const) {
      writeFileSync(list, lines);
      const covered = 'mount --bind "$0" /proc/filesystems && exec "$@"';
      const command = [process.execPath, main, 'attach', '--overlay', file, target, '--', 'true'];
      const { exitCode, stderr } = await execa(
        'unshare',
        ['--mount', 'sh', '-c', covered, list, ...command],
        { env: { ...env, NO_COLOR: '1' }, reject: false },
      );
      expect(exitCode).toBe(1);
      expect(stderr).toContain(sentence);
      expect(stderr).toMatch(/\n hint: /);
      expect(stderr).not.toContain('    at ');
    }
    expect(loopsOf(file)).toEqual([]);
    await soon(() => {
      expect(facts(web)).toEqual(before);
    });
  });

  it('passes exit codes on, and captures for --exec', async () => {
    expect((await attach(web, '--', 'false')).code).toBe(1);
    expect((await attach(web, '--', 'bash', '-c', 'kill -TERM $$')).code).toBe(143);
    expect(await attach(web, '--', 'no-such-command')).toMatchObject({
      code: 127,
      stderr: 'debloat: no-such-command: no such file or directory',
    });
    expect(await attach(web, '--cwd', '/no/such', '--', 'true')).toMatchObject({
      code: 126,
      stderr: 'debloat: cannot start in /no/such (see --cwd): no such file or directory',
    });
    const json = await attach(web, '--exec', 'echo out; echo err >&2; exit 4', '--format', 'json');
    expect(json.code).toBe(4);
    expect(JSON.parse(json.stdout)).toMatchObject({
      ...{ target: `docker://${web}`, code: 4, signal: null, stdout: 'out\n', stderr: 'err\n' },
    });
    const last = readFileSync(auditLog, 'utf8').trim().split('\n').at(-1) ?? '';
    expect(last).toMatch(
      / attach \{"who":".*","target":"docker:.*","overlay":"sha256:.*exit 4"\]\}$/,
    );
  });

  it('passes 100 MB through unchanged, both ways', async () => {
    const bytes = Buffer.alloc(100 * 2 ** 20);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE((at * 2654435761) >>> 0, at);
    const file = join(scratch, 'bytes');
    writeFileSync(file, bytes);
    const args = ['--', main, 'attach', '--overlay', overlay, `docker://${web}`, '--', 'cat'];
    const { stdout, exitCode } = await execa(
      'sh',
      // A reader that comes late, so that all of the way has to wait.
      ['-c', 'cat "$0" | "$@" | (sleep 2; sha256sum)', file, process.execPath, ...args],
      { env },
    );
    expect(exitCode).toBe(0);
    expect(stdout).toBe(`${createHash('sha256').update(bytes).digest('hex')}  -`);
  });

  it('gives a terminal', async () => {
    const command = `stty rows 33 cols 101; ${process.execPath} -- ${main} attach --overlay ${overlay} docker://${web}; echo ended $?; stty -a | grep -o -e '-*icanon' -e '-*opost'`;
    const typed = spawn('script', ['--quiet', '--command', command, '/dev/null'], {
      env: { ...process.env, ...env, TERM: 'xterm', SHELL: '/bin/sh' },
    });
    let seen = '';
    typed.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    const closed = once(typed, 'close');
    const until = (text: RegExp) =>
      soon(() => {
        expect(seen).toMatch(text);
      });
    await until(/# $/);
    typed.stdin.write('stty size; tty\r');
    await until(/33 101\r\n\/dev\/pts\/\d+\r\n/);
    typed.stdin.write('echo begin; sleep 1000\r');
    await until(/begin; sleep 1000\r\n.*begin\r\n/s);
    await sleep(200);
    typed.stdin.write('\x03');
    await until(/\^C/);
    typed.stdin.write('exit 7\r');
    await until(/ended 7\r\nopost.*\nicanon/s);
    typed.stdin.end();
    await closed;
  });

  it('refuses what is not the overlay, what does not run and what is no target', async () => {
    const before = facts(web);
    const other = join(scratch, 'other.squashfs');
    copyFileSync(overlay, other);
    writeFileSync(other, 'x', { flag: 'a' });
    const wrong = await runCli(['attach', '--overlay', other, `docker://${web}`, '--', 'true'], {
      env,
    });
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain('is not the overlay of the container’s image');
    const none = await runCli(['attach', `docker://${run}-nobody`, '--', 'true'], { env });
    expect(none.stderr).toContain(`There is no container ${run}-nobody`);
    expect((await runCli(['attach', 'web', '--', 'true'], { env })).code).toBe(2);
    const ours = await runCli(['attach', `container://${process.pid}`, '--', 'true'], { env });
    expect(ours.stderr).toContain('is in no container');
    const log = await runCli(['attach', '--overlay', overlay, `docker://${web}`, '--', 'true'], {
      env: { DEBLOAT_AUDIT_LOG: '/no/such/folder/log' },
    });
    expect(log.code).toBe(1);
    expect(log.stderr).toContain('audit log');
    expect(facts(web)).toEqual(before);
  });

  it('leaves nothing when it is killed, and ends when it is told to', async () => {
    const before = facts(web);
    for (const [signal, code] of [
      ['SIGKILL', undefined],
      ['SIGTERM', 143],
    ] as const) {
      const session = startCli([
        ...['attach', '--overlay', overlay, `docker://${web}`, '--'],
        ...['bash', '-c', 'setsid sleep 4321 & echo ready; exec sleep 4321'],
      ]);
      let said = '';
      session.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      await soon(() => {
        expect(said).toContain('ready');
      });
      expect(loopsOf(overlay)).toHaveLength(1);
      session.kill(signal);
      expect((await session).exitCode).toBe(code);
      await soon(() => {
        expect(facts(web)).toEqual(before);
      });
    }
  });

  it('is among the sessions while it lasts, and ends by detach', async () => {
    const before = facts(web);
    const session = startCli([
      ...['attach', '--session', 'in-web', '--overlay', overlay, `docker://${web}`, '--'],
      ...['bash', '-c', 'echo ready; exec sleep 4321'],
    ]);
    let said = '';
    session.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await soon(() => {
      expect(said).toContain('ready');
    });
    const { stdout } = await runCliWell(['sessions', '--format', 'json']);
    expect(JSON.parse(stdout)).toContainEqual({
      ...{ session: 'in-web', target: `docker://${web}`, way: 'namespaces', state: 'attached' },
      image: expect.stringMatching(/^sha256:/) as string,
      servedBy: session.pid,
    });
    const twin = await runCli([
      ...['attach', '--session', 'in-web', '--overlay', overlay, `docker://${web}`, '--', 'true'],
    ]);
    expect(twin.stderr).toContain('A session "in-web" exists already');
    expect((await runCliWell(['detach', 'in-web'])).stdout).toBe('in-web');
    expect((await session).exitCode).toBe(143);
    expect((await runCliWell(['sessions'])).stdout).not.toContain('in-web');
    expect(facts(web)).toEqual(before);
  });

  it('is listed among the targets', async () => {
    const { stdout } = await runCliWell(['targets', '--format', 'json']);
    const found = (JSON.parse(stdout) as { target: string }[]).find(
      ({ target }) => target === `docker://${web}`,
    );
    expect(found).toMatchObject({
      ...{ kind: 'container', what: image },
      how: expect.stringMatching(/^overlay sha256:[0-9a-f]{64}$/) as string,
    });
    expect((await runCliWell(['targets'])).stdout).toMatch(/^TARGET +WHAT +HOW\n/);
  });
});
