import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exercise } from '../../analyzer/exercise/exercise.js';
import type { ExercisePlan } from '../../analyzer/exercise/types.js';
import type { Image } from '../../analyzer/image/types.js';
import type { Container, LoadedImage, RunOptions, Runtime } from '../../analyzer/runtime/types.js';
import { openImage } from '../../analyzer/transport/open-image.js';
import { Workspace } from '../../analyzer/workspace/workspace.js';
import { docker } from './container.js';
import { testImage } from './images.js';

/** A test image, loaded into a runtime, in a workspace of its own. */
export class Loaded implements AsyncDisposable {
  private constructor(
    readonly workspace: Workspace,
    readonly image: Image,
    readonly loaded: LoadedImage,
  ) {}

  /** `parent` is where the workspace goes, if not where it usually does. */
  static async from(name: string, runtime: Runtime, parent?: string): Promise<Loaded> {
    const workspace = await Workspace.create(parent);
    const image = await openImage(testImage(name).oci, { workspace });
    return new Loaded(workspace, image, await runtime.load(image, workspace));
  }

  run(options: RunOptions = {}): Promise<Container> {
    return this.loaded.run(options);
  }

  /** Run `script` by the image's shell to its end; what it wrote and its exit code. */
  async script(script: string, options: RunOptions = {}): Promise<{ code: number; logs: string }> {
    const container = await this.run({ ...options, entrypoint: ['sh', '-c', script] });
    try {
      const { code } = await container.exited;
      return { code, logs: await container.logs() };
    } finally {
      await container.remove();
    }
  }

  /** Whatever of this workspace's is on the machine besides its directory, one line each. */
  async traces(): Promise<string[]> {
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
    const label = `label=dev.debloat.workspace=${basename(this.workspace.dir)}`;
    const containers = await docker('ps', '--all', '--quiet', '--filter', label);
    const journal = readFileSync(this.workspace.path('journal'), 'utf8');
    const names = [...journal.matchAll(/"netns","name":"([^"]+)"/g)].map(([, name = '']) => name);
    const left = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
    return [
      ...mounts.filter((line) => line.includes(this.workspace.dir)),
      ...containers.split('\n').filter(Boolean),
      ...names.filter((name) => left.includes(name)),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.loaded.unload();
    await this.loaded.unload(); // safe to call twice
    await this.workspace.dispose();
  }
}

const noProbes: ExercisePlan = { probes: [], continueAfter: { kind: 'probes' }, timeout: 60 };

/** Exercise as the command line would. */
export function use(image: Image, container: Container, plan: Partial<ExercisePlan> = {}) {
  const config = image.config.value.config ?? {};
  const signal = new AbortController().signal;
  return exercise(container, { ...noProbes, ...plan }, { config, signal });
}

/** What every runtime does, tested with the real thing. */
export function describeRuntime(name: string, makeRuntime: () => Promise<Runtime>): void {
  describe(`${name}: a server`, () => {
    let nginx: Loaded;
    beforeAll(async () => (nginx = await Loaded.from('nginx', await makeRuntime())));
    afterAll(async () => {
      expect(await nginx.traces()).toEqual([]);
      await nginx[Symbol.asyncDispose]();
    });

    it('runs as the image says, is used, stops by its signal, and is traced', async () => {
      const container = await nginx.run();
      try {
        expect(container.warnings).toEqual([]);
        const result = await use(nginx.image, container);
        expect(result).toMatchObject({ ready: 'its healthcheck passes', outcomes: [{ ok: true }] });
        expect(await container.listeningPorts()).toEqual([80]);
        expect(await container.stop()).toEqual({ code: 0 }); // SIGQUIT: it finishes, then ends
        expect(await container.logs()).toContain('"GET / HTTP/1.1" 200');
        const { records, unreadable, events } = await container.collect();
        const paths = new Set(records.map(({ path }) => path));
        expect(paths).toContain('/docker-entrypoint.sh');
        expect(paths).toContain('/usr/sbin/nginx');
        expect(paths).toContain('/var/www/html/index.html');
        expect(paths).toContain('/usr/bin/curl'); // by the healthcheck
        expect(unreadable).toEqual(new Map());
        expect(events).toBeGreaterThan(100);
      } finally {
        await container.remove();
        await container.remove(); // safe to call twice
      }
      expect(await nginx.traces()).toEqual([]);
    });

    it('honours user, environment, mounts, entrypoint and cmd', async () => {
      const dir = nginx.workspace.path('shared');
      mkdirSync(dir);
      chmodSync(nginx.workspace.dir, 0o755);
      writeFileSync(join(dir, 'file'), 'from the host\n');
      const container = await nginx.run({
        user: '33:4',
        env: ['GREETING=hello world', 'SITE_NAME=other'],
        mounts: [
          `type=bind,source=${dir},target=/in,readonly`,
          'type=tmpfs,target=/scratch,tmpfs-size=1m',
        ],
        entrypoint: ['sh', '-c'],
        cmd: [
          'id -u; id -g; echo "$GREETING, $SITE_NAME"; cat /in/file; touch /in/x || true; ' +
            'echo y >/scratch/y && cat /scratch/y; test "$(hostname)" = "$HOSTNAME" && echo same',
        ],
      });
      const { code } = await container.exited;
      const lines = (await container.logs()).split('\n');
      await container.remove();
      expect(code).toBe(0);
      // stdout and stderr come by two ways, each in its order.
      const complaint = lines.findIndex((line) => line.includes('Read-only file system'));
      expect(complaint).toBeGreaterThan(-1);
      lines.splice(complaint, 1);
      expect(lines.slice(0, 5)).toEqual(['33', '4', 'hello world, other', 'from the host', 'y']);
      expect(lines).toContain('same');
    });

    it('gives the workload what docker run gives, and nothing of the sensor’s', async () => {
      const { logs } = await nginx.script('grep Cap /proc/self/status; cat /proc/1/comm');
      expect(logs).toContain('CapEff:\t00000000a80425fb'); // Docker's default set
      expect(logs).toContain('CapAmb:\t0000000000000000');
      const asUser = await nginx.script('grep Cap /proc/self/status', { user: 'www-data' });
      expect(asUser.logs).toContain('CapEff:\t0000000000000000');
      expect(asUser.logs).toContain('CapAmb:\t0000000000000000');
    });

    it.each([
      ['exit 7', 7],
      ['kill -TERM $$; sleep 5', 143],
      ['exec /nowhere', 127],
      ['exec /etc/passwd', 126],
    ])('tells how it ended: %s', async (script, expected) => {
      // PID 1 has no default actions: the shell that kills itself is not the first process.
      const { code } = await nginx.script(expected === 143 ? `sh -c '${script}'` : script);
      expect(code).toBe(expected);
    });

    it.each([
      [['/nowhere'], 127],
      [['/etc/passwd'], 126],
    ])('reports an entrypoint that cannot be run: %s', async (entrypoint, code) => {
      const container = await nginx.run({ entrypoint });
      try {
        const result = await use(nginx.image, container);
        expect(result.failure).toBe(
          `the workload ended with exit code ${code} before it could be used`,
        );
        expect(await container.logs()).toContain(entrypoint[0]);
      } finally {
        await container.remove();
      }
    });

    it('reports an entrypoint that crashes, with what it said', async () => {
      const container = await nginx.run({
        entrypoint: ['sh', '-c', 'echo "no licence" >&2; exit 3'],
      });
      try {
        const result = await use(nginx.image, container);
        expect(result.failure).toContain('exit code 3');
        expect(await container.logs()).toContain('no licence');
        expect((await container.collect()).records.length).toBeGreaterThan(0);
      } finally {
        await container.remove();
      }
    });

    it('runs commands inside: output, exit code, user, abort', async () => {
      const container = await nginx.run({ entrypoint: ['sleep', '60'] });
      try {
        const both = await container.exec(['sh', '-c', 'echo out; echo err >&2; exit 3']);
        expect(both).toEqual({ code: 3, stdout: 'out\n', stderr: 'err\n' });
        expect((await container.exec(['nowhere'])).code).toBe(127);
        const { stdout } = await container.exec(['id', '-un'], { user: 'www-data' });
        expect(stdout).toBe('www-data\n');
        const large = await container.exec(['head', '-c', '3000000', '/dev/zero']);
        expect(large.stdout).toHaveLength(2 ** 20);
        const startedAt = Date.now();
        const signal = AbortSignal.timeout(300);
        await expect(container.exec(['sleep', '30'], { signal })).rejects.toThrow();
        expect(Date.now() - startedAt).toBeLessThan(5000);
      } finally {
        await container.stop(0);
        await container.remove();
      }
    });

    it('hands signals on, and kills what does not stop', async () => {
      const container = await nginx.run({
        entrypoint: ['sh', '-c', 'trap "echo told" HUP; trap "" QUIT; while :; do sleep 0.1; done'],
      });
      try {
        await expect.poll(() => container.exec(['true']).then(({ code }) => code)).toBe(0);
        await container.kill('SIGHUP');
        await expect.poll(() => container.logs(), { timeout: 5000 }).toContain('told');
        expect(await container.stop(1)).toEqual({ code: 137 });
        expect((await container.collect()).records.length).toBeGreaterThan(0);
      } finally {
        await container.remove();
      }
    });

    it('says that it never becomes ready', async () => {
      const container = await nginx.run({ entrypoint: ['sleep', '60'] });
      try {
        const result = await use(nginx.image, container, { timeout: 1 });
        expect(result.failure).toContain('did not pass its healthcheck within 1 s');
      } finally {
        await container.stop(0);
        await container.remove();
      }
    });

    it('refuses to publish a port that is in use, and leaves nothing', async () => {
      const taken = createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
      const { port } = taken.address() as AddressInfo;
      try {
        await expect(nginx.run({ publish: [`127.0.0.1:${port}:80`] })).rejects.toThrow(
          `port ${port} of --publish is already in use`,
        );
      } finally {
        taken.close();
      }
      expect(await nginx.traces()).toEqual([]);
    });

    it('publishes a port', async () => {
      const free = createServer().listen(0, '127.0.0.1');
      await once(free, 'listening');
      const { port } = free.address() as AddressInfo;
      free.close();
      const container = await nginx.run({ publish: [`127.0.0.1:${port}:80`] });
      try {
        expect((await use(nginx.image, container)).failure).toBeUndefined();
        const answer = await fetch(`http://127.0.0.1:${port}/`);
        expect(answer.status).toBe(200);
        await answer.text();
      } finally {
        await container.stop();
        await container.remove();
      }
    });

    it('runs without a network, and on this machine’s', async () => {
      const script = 'cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d " "';
      expect((await nginx.script(script, { network: 'none' })).logs.split('\n')).not.toContain(
        'eth0',
      );
      const own = createServer().listen(0, '127.0.0.1');
      await once(own, 'listening');
      const { port } = own.address() as AddressInfo;
      const container = await nginx.run({
        network: 'host',
        entrypoint: ['sh', '-c', 'grep -c . /proc/net/tcp; sleep 60'],
      });
      try {
        expect(container.reach(port)).toEqual({ host: '127.0.0.1', port });
        const hex = port.toString(16).toUpperCase().padStart(4, '0');
        expect((await container.exec(['cat', '/proc/net/tcp'])).stdout).toContain(`:${hex} `);
        // What listened before is not the workload's.
        expect(await container.listeningPorts()).not.toContain(port);
      } finally {
        own.close();
        await container.stop(0);
        await container.remove();
      }
      await expect(nginx.run({ network: 'no-such-network' })).rejects.toThrow('no-such-network');
    });

    it('runs several at once', async () => {
      const containers = await Promise.all([nginx.run(), nginx.run()]);
      try {
        const results = await Promise.all(containers.map((one) => use(nginx.image, one)));
        expect(results.map(({ failure }) => failure)).toEqual([undefined, undefined]);
      } finally {
        for (const container of containers) await container.stop();
        for (const container of containers) await container.remove();
      }
    });
  });

  describe(`${name}: other images`, () => {
    it.each(['static', 'non-root', 'redis'])('%s', async (image) => {
      await using target = await Loaded.from(image, await makeRuntime());
      const container = await target.run();
      try {
        const result = await use(target.image, container);
        expect(result.failure, await container.logs()).toBeUndefined();
        expect(result.outcomes.map(({ ok }) => ok)).toEqual([true]);
        expect((await container.stop()).code).toBeOneOf([0, 143]);
        const { records, unreadable } = await container.collect();
        expect(records.length).toBeGreaterThan(0);
        expect(unreadable).toEqual(new Map());
      } finally {
        await container.remove();
      }
      expect(await target.traces()).toEqual([]);
    });
  });
}
