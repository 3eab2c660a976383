import { expect, test } from 'vitest';
import type { Image, RunConfig } from '../../analyzer/image/types.js';
import { fakeImage } from '../../test/support/fake-image.js';
import { encodeInitSettings, hostnameFor, initSettings } from './init-settings.js';

function imageOf(config: RunConfig, reference = 'docker://web/shop:1'): Image {
  const files = {
    '/etc/passwd': 'root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n',
    '/etc/group': 'app:x:1000:\nvideo:x:44:app\nextra:x:7:root,app\n',
    '/data/file': '',
  };
  return { ...fakeImage(files, config), reference } as Image;
}

async function fields(config: RunConfig, run = {}): Promise<string[]> {
  const encoded = encodeInitSettings(await initSettings(imageOf(config), run));
  expect(encoded.at(-1)).toBe(0);
  return encoded.toString().split('\0').slice(0, -1);
}

test('all that the image says', async () => {
  const config = {
    User: 'app',
    Env: ['A=1', 'PATH=/bin'],
    Entrypoint: ['/run', 'a b'],
    Cmd: [''],
    WorkingDir: '/srv',
    StopSignal: 'SIGQUIT',
    Volumes: { '/data': {}, '/new': {} },
  };
  expect(await fields(config)).toEqual([
    ...['arg=/run', 'arg=a b', 'arg='],
    ...['env=HOSTNAME=shop', 'env=A=1', 'env=PATH=/bin', 'env=HOME=/home/app'],
    ...['cwd=/srv', 'uid=1000', 'gid=1000', 'group=7', 'group=44'],
    ...['hostname=shop', 'stop=3', 'volume=/new'],
  ]);
});

test('defaults are those of a container', async () => {
  expect(await fields({ Cmd: ['sh'] })).toEqual([
    'arg=sh',
    'env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...['env=HOSTNAME=shop', 'env=HOME=/root', 'cwd=/', 'uid=0', 'gid=0', 'group=7'],
    ...['hostname=shop', 'stop=15'],
  ]);
});

test('the options of the run hold for the machine', async () => {
  const run = { env: ['A=2'], user: '5:6', entrypoint: ['/other'] };
  const told = await fields({ Cmd: ['sh'], Env: ['A=1'] }, run);
  expect(told).toEqual(expect.arrayContaining(['arg=/other', 'env=A=2', 'uid=5', 'gid=6']));
  expect(told).not.toContain('arg=sh');
});

test('what cannot be run is refused', async () => {
  await expect(fields({})).rejects.toThrow('the image names no command to run');
  await expect(fields({ Cmd: ['x'], User: 'nobody' })).rejects.toThrow('no user "nobody"');
  await expect(fields({ Cmd: ['x\0y'] })).rejects.toThrow('a zero byte in "arg=x\\u0000y"');
  const many = Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`/v${n}`, {}]));
  await expect(fields({ Cmd: ['x'], Volumes: many })).rejects.toThrow('64 volumes');
});

test.each([
  ['docker://nginx', 'nginx'],
  ['registry://localhost:5000/web/nginx:1.2', 'nginx'],
  [`registry://example.org/Web_Shop@sha256:${'0'.repeat(64)}`, 'web-shop'],
  ['oci:/home/me/layouts/shop:latest', 'shop'],
  ['docker-archive:/tmp/---', 'debloat'],
])('the host of %s is called %s', (reference, name) => {
  expect(hostnameFor(reference)).toBe(name);
});
