import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import Docker from 'dockerode';
import { afterEach, describe, expect, it } from 'vitest';
import { messageOf } from '../../analyzer/errors.js';
import { engineConnection } from '../../analyzer/runtime/engine-connection.js';
import { runInEngine } from '../../analyzer/runtime/engine/run.js';
import { engineRuntime } from '../../analyzer/runtime/engine/runtime.js';
import { sensorFor } from '../../analyzer/runtime/sensor.js';
import { openImage } from '../../analyzer/transport/open-image.js';
import { Workspace } from '../../analyzer/workspace/workspace.js';
import { docker } from '../support/container.js';
import { testImage } from '../support/images.js';
import { describeRuntime, Loaded, use } from '../support/runtime-contract.js';
import { scratchDirectory } from '../support/scratch.js';

const here = async () => engineRuntime(await engineConnection());
const scratch = scratchDirectory();

describeRuntime('docker', here);

/** Everything between us and the engine goes through here, and can be cut. */
class Wire {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor(readonly path: string) {
    const { socketPath = '/var/run/docker.sock' } = engineSocket;
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      const engine = connect({ path: socketPath, allowHalfOpen: true });
      for (const [from, to] of [
        [client, engine],
        [engine, client],
      ] as const) {
        this.#sockets.add(from);
        from.on('error', () => to.destroy()).pipe(to);
      }
    });
  }
  async open(): Promise<void> {
    this.#server.listen(this.path);
    await once(this.#server, 'listening');
  }
  cut(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

const engineSocket = { socketPath: process.env['DOCKER_HOST']?.replace(/^unix:\/\//, '') };
const wires: Wire[] = [];
afterEach(() => wires.splice(0).forEach((wire) => wire.cut()));

describe('a Docker engine', () => {
  it('that goes away is told of, at whatever stage', async () => {
    const wire = new Wire(join(scratch, 'engine.sock'));
    wires.push(wire);
    await wire.open();
    const connection = await engineConnection({ DOCKER_HOST: `unix://${wire.path}` });
    const target = await Loaded.from('static', engineRuntime(connection));
    const container = await target.run();
    await use(target.image, container);
    const { id } = container;
    wire.cut();
    await expect(container.exited).rejects.toThrow('the container engine went away');
    await expect(container.logs()).rejects.toThrow('the container engine went away');
    await expect(target.run()).rejects.toThrow('the container engine went away');
    // The workspace tells that something is left: its journal is there for `doctor --fix`.
    await expect(target.workspace.dispose()).rejects.toThrow('could not clean up');
    await docker('rm', '--force', id);
    await rm(target.workspace.dir, { recursive: true });
  });

  it('has its container removed by someone else', async () => {
    await using target = await Loaded.from('static', await here());
    const container = await target.run();
    try {
      await use(target.image, container);
      const ended = container.exited.catch((error: unknown) => error);
      await docker('rm', '--force', container.id);
      await ended; // a code or a reason, as the engine sees it
      await expect(container.collect()).rejects.toThrow('removed by someone else');
      await expect(container.logs()).rejects.toThrow('removed by someone else');
    } finally {
      await container.remove();
    }
  });

  it('loads what it lacks under a name of ours, and drops it again', async () => {
    const before = await docker('images', '--quiet', '--no-trunc');
    const target = await Loaded.from('odd', await here());
    const id = target.image.config.digest;
    expect(await docker('images', '--quiet', '--no-trunc')).toContain(id);
    await target[Symbol.asyncDispose]();
    const after = await docker('images', '--quiet', '--no-trunc');
    expect(after.includes(id)).toBe(before.includes(id));
    expect(await docker('images', '--filter', 'reference=localhost/debloat-run')).not.toContain(
      id.slice(7, 19),
    );
  });

  it.each([0, 30, 300, 3000])('an interrupt after %i ms of loading leaves nothing', async (ms) => {
    await using workspace = await Workspace.create();
    const image = await openImage(testImage('nginx').oci, { workspace });
    // An image that the engine does not have: the same with another config.
    const bytes = Buffer.from(JSON.stringify({ ...image.config.value, author: randomUUID() }));
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}` as const;
    const other = { ...image, config: { ...image.config, bytes, digest } };
    const interrupt = new AbortController();
    const loading = (await here()).load(other, workspace, interrupt.signal);
    setTimeout(() => interrupt.abort(new Error('enough')), ms);
    const outcome = await loading.then(
      (loaded) => loaded.unload().then(() => 'loaded in time'),
      (error: unknown) => messageOf(error),
    );
    expect(outcome).toBeOneOf(ms < 100 ? ['enough'] : ['enough', 'loaded in time']);
    await expect(new Docker().getImage(digest).inspect()).rejects.toThrow('No such image');
  });

  it('removes anonymous volumes with the container', async () => {
    await using target = await Loaded.from('redis', await here());
    const container = await target.run();
    const inspect = ['inspect', '--format', '{{range .Mounts}}{{.Name}}{{end}}', container.id];
    const volume = await docker(...inspect);
    expect(volume).not.toBe('');
    await container.stop(0);
    await container.remove();
    expect(await docker('volume', 'ls', '--quiet')).not.toContain(volume);
  });

  it('in a machine of its own: ports are published, listeners asked for from inside', async () => {
    await using target = await Loaded.from('static', await here());
    const container = await runInEngine({
      connection: await engineConnection(),
      facts: { direct: false, host: '127.0.0.1' },
      sensor: sensorFor(process.arch),
      workspace: target.workspace,
      image: target.image.config.digest,
      config: target.image.config.value.config ?? {},
      options: { ports: [9999] },
    });
    try {
      expect(container.reach(8080).port).not.toBe(8080);
      expect(container.reach(9999).host).toBe('127.0.0.1');
      expect(() => container.reach(1)).toThrow('port 1 of the container cannot be reached');
      const result = await use(target.image, container);
      expect(result).toMatchObject({ outcomes: [{ ok: true, detail: /HTTP 200/ }] });
      expect(await container.listeningPorts()).toEqual([8080]);
    } finally {
      await container.stop();
      await container.remove();
    }
  });
});
