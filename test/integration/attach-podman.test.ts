import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli, runCliWell, startCli } from '../support/cli.js';
import { testImage } from '../support/images.js';
import { Registry } from '../support/own-registry.js';
import { Podman } from '../support/podman.js';
import { scratchDirectory } from '../support/scratch.js';
import { machineTraces, soon, stage2Processes } from '../support/session-traces.js';
import { treeListing } from '../support/tree-listing.js';

/** Sessions in containers of a real podman, which run an nginx that debloat cut down with runc. */

const scratch = scratchDirectory();
const overlay = join(scratch, 'out', 'overlay.squashfs');
/** What keeps a container up that has a shell and little else. */
const still = ['-c', 'while :; do read x < /dev/zero; done'];

describe('debloat attach podman://', () => {
  let podman: Podman;
  let registry: Registry;
  let image: string;
  let web: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    registry = await Registry.start(join(scratch, 'registry'));
    image = `${registry.address}/slim:1`;
    await runCliWell([
      ...['build', testImage('nginx').oci, '--runtime', 'runc', '--http', '/'],
      ...['--output-dir', join(scratch, 'out'), '--tag', `registry://${image}`],
    ]);
    podman = await Podman.start(join(scratch, 'podman'));
    env = { CONTAINER_HOST: podman.host, DEBLOAT_AUDIT_LOG: join(scratch, 'audit.log') };
    podman.run('pull', '--quiet', '--tls-verify=false', image);
    web = podman.start('web', image);
    await soon(() => {
      expect(podman.run('top', web, 'args')).toContain('worker process');
    });
  });

  afterAll(async () => {
    await podman.stop();
    await registry.stop();
  });

  const pidOf = (container: string) =>
    podman.run('inspect', '--format', '{{.State.Pid}}', container);

  const attach = (container: string, ...rest: string[]) =>
    runCli(['attach', '--overlay', overlay, `podman://${container}`, ...rest], { env });

  /** What a session could change: of this machine, and of the container. */
  const facts = (container: string) => ({
    diff: podman.run('diff', container).split('\n').sort(),
    processes: podman.run('top', container, 'hpid', 'args'),
    theirMounts: readFileSync(`/proc/${pidOf(container)}/mountinfo`, 'utf8'),
    ...machineTraces(scratch, overlay),
  });

  it('shows the original in the running container, and leaves it as it was', async () => {
    expect(() => podman.run('exec', web, 'bash', '-c', 'true')).toThrow(/bash/);
    const before = facts(web);
    const script =
      'dpkg -l nginx-light | tail -1; cat /etc/debian_version; tr "\\0" " " < /proc/1/cmdline; echo; ' +
      'touch /etc/written /usr/bin/new; rm /etc/passwd; hostname; echo "$SITE_NAME $1"; exit 7';
    const { code, stdout, stderr } = await attach(web, '--', 'bash', '-c', script, 'x', 'y z');
    expect([code, stderr]).toEqual([7, '']);
    const [packages, version, init, host, site] = stdout.split('\n');
    expect(packages).toMatch(/^ii\s+nginx-light/);
    expect(version).toMatch(/^\d+\.\d+/);
    expect(init).toContain('nginx: master process');
    expect(host).toBe(podman.run('inspect', '--format', '{{.Config.Hostname}}', web));
    expect(site).toBe('debloat y z');
    await soon(() => {
      expect(facts(web)).toEqual(before);
    });
  });

  it('shows the original tree: every path with its metadata, and every byte', async () => {
    const original = `${registry.address}/original:1`;
    execFileSync('skopeo', [
      ...['copy', '--quiet', '--preserve-digests', '--dest-tls-verify=false'],
      ...[testImage('nginx').oci, `docker://${original}`],
    ]);
    podman.run('pull', '--quiet', '--tls-verify=false', original);
    const sh = ['--entrypoint', 'sh', original, '-c', treeListing];
    const whole = podman.run('run', '--rm', ...Podman.alone, ...sh);
    const { code, stdout } = await attach(web, '--', 'sh', '-c', treeListing);
    expect(code).toBe(0);
    expect(stdout.length).toBeGreaterThan(100_000);
    expect(stdout).toBe(whole);
  });

  it('finds the overlay by the image: in a local directory, else in its registry', async () => {
    const command = ['attach', `podman://${web}`, '--', 'dpkg-query', '--show', 'nginx-light'];
    const local = await runCli(command, { env, cwd: scratch });
    expect(local).toMatchObject({ code: 0, stderr: '' });
    expect(local.stdout).toMatch(/^nginx-light\t/);
    const remote = await runCli(command, { env, cwd: '/' });
    expect(remote.stderr).toContain('Fetch the overlay');
    expect(remote).toMatchObject({ code: 0, stdout: local.stdout });
    expect(stage2Processes()).toEqual([]);
  });

  it('works for a container that is read-only and one that is not root', async () => {
    for (const [name, ...options] of [
      ['read-only', '--read-only'],
      ['user', '--user', '33:33', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'],
    ] as [string, ...string[]][]) {
      const container = podman.start(name, ...options, '--entrypoint', 'sh', image, ...still);
      const before = facts(container);
      const script = 'bash --version | head -1; id -un; echo x > /etc/new && cat /etc/new';
      expect(await attach(container, '--', 'bash', '-c', script)).toMatchObject({
        ...{ code: 0, stderr: '' },
        stdout: expect.stringMatching(/^GNU bash.*\nroot\nx$/) as string,
      });
      const asUser = ['--user', 'www-data', '--cwd', '/var/www', '-e', 'A=1', '-e', 'B=2'];
      expect(
        await attach(container, ...asUser, '--exec', 'id; pwd; echo $A$B $HOME'),
      ).toMatchObject({
        code: 0,
        stdout: 'uid=33(www-data) gid=33(www-data) groups=33(www-data)\n/var/www\n12 /var/www',
      });
      await soon(() => {
        expect(facts(container)).toEqual(before);
      });
      await podman.remove(container);
    }
  });

  it('works for a container with users of its own', async () => {
    const maps = ['--uidmap', '0:100000:65536', '--gidmap', '0:200000:65536'];
    const container = podman.start('users', ...maps, '--entrypoint', 'sh', image, ...still);
    const before = facts(container);
    const script =
      'bash --version | head -1; id -un; stat -c "%u %g" / /usr/bin/bash /usr/bin/dpkg /etc/passwd;' +
      'cat /run/.containerenv && echo x > /etc/new && cat /etc/new; readlink /proc/1/exe; cut -c 1-40 /proc/self/uid_map';
    const { code, stdout, stderr } = await attach(container, '--', 'bash', '-c', script);
    expect(code).toBe(0);
    const toldOfUsers = !stderr.includes('mount_setattr');
    if (toldOfUsers) expect(stderr).toBe('');
    const owner = toldOfUsers ? '0 0' : '65534 65534';
    expect(stdout).toMatch(/^GNU bash.*\nroot\n0 0\n/);
    expect(stdout).toContain(`\n${owner}\n${owner}\n0 0\nx\n/usr/bin/`);
    expect(stdout).toMatch(/ 100000 +65536$/);
    const asUser = await attach(container, '--user', 'www-data', '--exec', 'id; echo $HOME');
    expect(asUser.stdout).toBe('uid=33(www-data) gid=33(www-data) groups=33(www-data)\n/var/www');
    await soon(() => {
      expect(facts(container)).toEqual(before);
    });
    await podman.remove(container);
  });

  it('is among the targets, and among the sessions while it lasts; ends by detach', async () => {
    const targets = await runCliWell(['targets', '--format', 'json'], { env });
    expect(JSON.parse(targets.stdout)).toContainEqual({
      ...{ target: `podman://${web}`, kind: 'container', what: image },
      how: expect.stringMatching(/^overlay sha256:[0-9a-f]{64}$/) as string,
    });
    const before = facts(web);
    const session = startCli(
      [
        ...['attach', '--session', 'podman', '--overlay', overlay, `podman://${web}`, '--'],
        ...['bash', '-c', 'setsid sleep 4321 & echo ready; exec sleep 4321'],
      ],
      env,
    );
    let said = '';
    session.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await soon(() => {
      expect(said).toContain('ready');
    });
    const { stdout } = await runCliWell(['sessions', '--format', 'json']);
    expect(JSON.parse(stdout)).toContainEqual({
      ...{ session: 'podman', target: `podman://${web}`, way: 'namespaces', state: 'attached' },
      image: expect.stringMatching(/^sha256:/) as string,
      servedBy: session.pid,
    });
    expect((await runCliWell(['detach', 'podman'])).stdout).toBe('podman');
    expect((await session).exitCode).toBe(143);
    expect((await runCliWell(['sessions'])).stdout).not.toContain('podman');
    await soon(() => {
      expect(facts(web)).toEqual(before);
    });
  });

  it('says what is not there, and where the overlay of an image of no registry is to come from', async () => {
    const none = await runCli(['attach', 'podman://nobody', '--', 'true'], { env });
    expect(none.stderr).toMatch(/^error: There is no container nobody\.\n hint: `podman ps` and/);
    podman.run('create', '--name', 'created', image);
    const created = await runCli(['attach', 'podman://created', '--', 'true'], { env });
    expect(created.stderr).toMatch(/does not run\.\n hint: start it: podman start created$/);
    podman.run('rm', 'created');
    const silent = { CONTAINER_HOST: `unix://${scratch}/no-socket` };
    const service = await runCli(['attach', `podman://${web}`, '--', 'true'], { env: silent });
    expect(service.stderr).toContain('there is no such socket');
    expect((await runCliWell(['targets'], { env: silent })).stdout).not.toContain('podman://');

    // podman calls an image localhost/… that it loaded, and gives it a digest as if it had a registry.
    const archive = join(scratch, 'image.tar');
    podman.run('save', '--quiet', '--output', archive, image);
    await podman.remove(web);
    podman.run('rmi', '--force', image);
    podman.run('load', '--quiet', '--input', archive);
    podman.run('tag', image, 'localhost/loaded:1');
    podman.run('untag', image, image);
    podman.start('loaded', '--entrypoint', 'sh', 'localhost/loaded:1', ...still);
    const loaded = await runCli(['attach', 'podman://loaded', '--', 'true'], { env, cwd: '/' });
    expect(loaded.stderr).toMatch(/^error: The overlay sha256:\S+ is not here, and the image came/);
  });
});
