import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DebloatError } from '../errors.js';
import { engineConnection, negotiate, NoEngineError } from './engine-connection.js';
import { dockerEndpoints, podmanEndpoints } from './engine-endpoint.js';

let dir: string;
const servers: Server[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'engine-'));
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rm(dir, { recursive: true });
});

/** An engine that knows nothing but its version. */
async function fakeEngine(at: string | number, version: object): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url !== '/version') response.statusCode = 404;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(version));
  });
  servers.push(server);
  await new Promise<void>((resolve) => {
    if (typeof at === 'string') server.listen(at, resolve);
    else server.listen(at, '127.0.0.1', resolve);
  });
  return server;
}

async function writeContext(name: string, host: string): Promise<void> {
  const id = createHash('sha256').update(name).digest('hex');
  const meta = join(dir, 'contexts/meta', id);
  await mkdir(meta, { recursive: true });
  await writeFile(
    join(meta, 'meta.json'),
    JSON.stringify({ Name: name, Metadata: {}, Endpoints: { docker: { Host: host } } }),
  );
}

const docker = { Version: '27.1', ApiVersion: '1.46', MinAPIVersion: '1.24' };
const podman = {
  Version: '5.2',
  ApiVersion: '1.41',
  Components: [{ Name: 'Podman Engine', Version: '5.2' }],
};

describe('engineConnection', () => {
  it('uses DOCKER_HOST, a socket', async () => {
    await fakeEngine(join(dir, 'd.sock'), docker);
    const connection = await engineConnection({ DOCKER_HOST: `unix://${dir}/d.sock` });
    expect(connection).toMatchObject({ kind: 'docker', version: '27.1', origin: 'DOCKER_HOST' });
    expect(connection.options).toMatchObject({
      socketPath: join(dir, 'd.sock'),
      version: 'v1.41',
    });
  });

  it('uses DOCKER_HOST, a TCP address without a scheme', async () => {
    const server = await fakeEngine(0, docker);
    const { port } = server.address() as AddressInfo;
    const connection = await engineConnection({ DOCKER_HOST: `127.0.0.1:${port}` });
    expect(connection.options).toMatchObject({ host: '127.0.0.1', protocol: 'http' });
  });

  it('uses the context of the client configuration, and DOCKER_CONTEXT before it', async () => {
    await fakeEngine(join(dir, 'a.sock'), docker);
    await fakeEngine(join(dir, 'b.sock'), podman);
    await writeContext('a', `unix://${dir}/a.sock`);
    await writeContext('b', `unix://${dir}/b.sock`);
    await writeFile(join(dir, 'config.json'), '{"currentContext": "a", "auths": {}}');
    const env = { DOCKER_CONFIG: dir };
    expect(await engineConnection(env)).toMatchObject({ origin: 'context a', kind: 'docker' });
    expect(await engineConnection({ ...env, DOCKER_CONTEXT: 'b' })).toMatchObject({
      origin: 'context b',
      kind: 'podman',
    });
  });

  it('says which context is missing, and which configuration is broken', async () => {
    await expect(engineConnection({ DOCKER_CONFIG: dir, DOCKER_CONTEXT: 'prod' })).rejects.toThrow(
      'there is no Docker context named "prod"',
    );
    await writeFile(join(dir, 'config.json'), '{');
    await expect(engineConnection({ DOCKER_CONFIG: dir })).rejects.toThrow(
      'is not a valid Docker configuration',
    );
  });

  it('explains a missing socket and a refused connection', async () => {
    const failure = await engineConnection({
      DOCKER_HOST: `unix://${dir}/none.sock`,
      CONTAINER_HOST: 'tcp://127.0.0.1:1',
    }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(NoEngineError);
    const { refusals } = failure as NoEngineError;
    expect(refusals[0]?.reason).toContain('there is no such socket');
    expect(refusals[0]?.hint).toContain('DOCKER_HOST');
    expect(refusals[1]?.reason).toContain('nothing answers there');
  });

  it.runIf(process.getuid?.() === 0)('explains a denied permission by the group', async () => {
    await chmod(dir, 0o755);
    await fakeEngine(join(dir, 'd.sock'), docker);
    await chmod(join(dir, 'd.sock'), 0o660);
    const { chown } = await import('node:fs/promises');
    await chown(join(dir, 'd.sock'), 0, 1); // daemon on every Linux
    const uid = process.geteuid?.() ?? 0;
    process.seteuid?.(65534);
    try {
      const failure = await engineConnection({ DOCKER_HOST: `unix://${dir}/d.sock` }).catch(
        (error: unknown) => error,
      );
      const { refusals } = failure as NoEngineError;
      expect(refusals[0]?.reason).toContain('permission denied');
      expect(refusals[0]?.hint).toContain('group "daemon"');
    } finally {
      process.seteuid?.(uid);
    }
  });

  it.each(['ftp://host', 'http://['])('refuses the address %s', async (address) => {
    await expect(engineConnection({ DOCKER_HOST: address })).rejects.toBeInstanceOf(DebloatError);
  });
});

describe('endpoints', () => {
  it('come in the order of the docker command, podman after', async () => {
    const env = { XDG_RUNTIME_DIR: '/run/user/7', DOCKER_CONFIG: dir };
    expect((await dockerEndpoints(env)).map((endpoint) => endpoint.address)).toEqual([
      'unix:///var/run/docker.sock',
      'unix:///run/user/7/docker.sock',
    ]);
    expect((await podmanEndpoints(env)).map((endpoint) => endpoint.address)).toEqual([
      'unix:///run/user/7/podman/podman.sock',
      'unix:///run/podman/podman.sock',
    ]);
  });

  it('carry TLS files where DOCKER_TLS_VERIFY asks for them', async () => {
    for (const name of ['ca', 'cert', 'key']) await writeFile(join(dir, `${name}.pem`), name);
    const env = { DOCKER_HOST: 'tcp://h', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: dir };
    expect((await dockerEndpoints(env))[0]?.options).toEqual({
      host: 'h',
      port: 2376,
      protocol: 'https',
      ca: 'ca',
      cert: 'cert',
      key: 'key',
    });
    await rm(join(dir, 'key.pem'));
    await expect(dockerEndpoints(env)).rejects.toThrow("the engine's TLS file cannot be read");
  });

  it('reach an engine by ssh with the keys of the agent', async () => {
    const env = { DOCKER_HOST: 'ssh://me@build:2222', SSH_AUTH_SOCK: '/agent' };
    expect((await dockerEndpoints(env))[0]?.options).toEqual({
      protocol: 'ssh',
      host: 'build',
      port: '2222',
      username: 'me',
      sshOptions: { agent: '/agent' },
    });
  });
});

describe('negotiate', () => {
  it.each([
    ['1.46', '1.24', '1.41'],
    ['1.40', '1.12', '1.40'],
    ['1.51', '1.44', '1.44'],
    ['1.41', undefined, '1.41'],
  ])('engine %s (oldest %s): %s', (newest, oldest, expected) => {
    expect(negotiate(newest, oldest)).toBe(expected);
  });

  it('refuses an engine that is too old', () => {
    expect(() => negotiate('1.23')).toThrow('too old');
  });
});
