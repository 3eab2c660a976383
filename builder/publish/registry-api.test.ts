import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { RegistryApi } from './registry-api.js';

let server: Server | undefined;
afterEach(() => server?.close());

/** A registry that wants a Bearer token, which its /token gives for user:secret. */
async function start(received: string[]): Promise<number> {
  const started = createServer((request, response) => {
    const port = (started.address() as AddressInfo).port;
    const { authorization = '' } = request.headers;
    received.push(`${request.method ?? ''} ${request.url ?? ''} ${authorization}`);
    if (request.url?.startsWith('/token')) {
      const known = authorization === `Basic ${Buffer.from('user:secret').toString('base64')}`;
      response.writeHead(known ? 200 : 401).end(JSON.stringify({ token: 'T' }));
    } else if (authorization !== 'Bearer T') {
      const realm = `Bearer realm="http://127.0.0.1:${port}/token",service="reg",scope="x"`;
      response.writeHead(401, { 'www-authenticate': realm }).end();
    } else {
      response.writeHead(request.method === 'PUT' ? 201 : 404).end();
    }
  });
  server = started;
  await new Promise<void>((done) => started.listen(0, '127.0.0.1', done));
  return (started.address() as AddressInfo).port;
}

test('a token is fetched once for the scope needed, and used', async () => {
  const received: string[] = [];
  const port = await start(received);
  const api = await RegistryApi.open(
    { registry: `127.0.0.1:${port}`, repository: 'team/app' },
    { isSecure: false, credentials: { username: 'user', password: 'secret' } },
  );
  await api.putManifest('tag', 'application/vnd.oci.image.index.v1+json', Buffer.from('{}'));
  expect(await api.referrers('sha256:abc')).toBeUndefined();
  const basic = `Basic ${Buffer.from('user:secret').toString('base64')}`;
  expect(received).toEqual([
    'PUT /v2/team/app/manifests/tag ',
    `GET /token?service=reg&scope=repository%3Ateam%2Fapp%3Apull%2Cpush ${basic}`,
    'PUT /v2/team/app/manifests/tag Bearer T',
    'GET /v2/team/app/referrers/sha256:abc Bearer T',
  ]);
});

test('refused credentials give one clear sentence', async () => {
  const port = await start([]);
  const api = await RegistryApi.open(
    { registry: `127.0.0.1:${port}`, repository: 'team/app' },
    { isSecure: false, credentials: { username: 'user', password: 'wrong' } },
  );
  await expect(api.putManifest('tag', 'x/y', Buffer.from('{}'))).rejects.toThrow(
    `the registry of 127.0.0.1:${port}/team/app refuses access (status 401)`,
  );
});
