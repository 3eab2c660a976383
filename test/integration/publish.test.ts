import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../analyzer/image/digest.js';
import type { Image } from '../../analyzer/image/types.js';
import {
  engineConnection,
  type EngineConnection,
} from '../../analyzer/runtime/engine-connection.js';
import { openImage } from '../../analyzer/transport/open-image.js';
import { parseReference } from '../../analyzer/transport/reference.js';
import { Workspace } from '../../analyzer/workspace/workspace.js';
import { buildParts, type Parts } from '../../builder/build-parts.js';
import { publishImage } from '../../builder/publish/publish.js';
import { pullOverlay } from '../../builder/publish/pull-overlay.js';
import { restoreImage } from '../../builder/restore/restore.js';
import { imageOfScripts, keepSetOf, oddLayers } from './layered-image.js';

let dir: string;
let workspace: Workspace;
let image: Image;
let parts: Parts;
const registries: ChildProcess[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'publish-test-'));
  workspace = await Workspace.create();
  image = await imageOfScripts(dir, oddLayers);
  parts = await build('gzip');
});

afterAll(async () => {
  for (const registry of registries) registry.kill();
  await workspace.dispose();
  rmSync(dir, { recursive: true, force: true });
});

async function build(
  compression: 'gzip' | 'zstd',
  keep = ['/bin/app', '/etc/two'],
): Promise<Parts> {
  return buildParts(
    image,
    { keepSet: keepSetOf(keep), rewrites: [] },
    {
      overlay: 'squashfs',
      overlayFile: join(mkdtempSync(join(dir, 'out-')), 'overlay.squashfs'),
      squash: false,
      compression,
    },
    { workspace, signal: new AbortController().signal },
    () => undefined,
  );
}

async function startRegistry(authentication: object = {}): Promise<string> {
  const port = await freePort();
  const config = {
    version: 0.1,
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: mkdtempSync(join(dir, 'registry-')) } },
    http: { addr: `127.0.0.1:${port}` },
    ...authentication,
  };
  const file = join(dir, `registry-${port}.yml`);
  writeFileSync(file, JSON.stringify(config)); // JSON is YAML
  registries.push(spawn('docker-registry', ['serve', file], { stdio: 'ignore' }));
  for (let tries = 0; ; tries++) {
    try {
      await fetch(`http://127.0.0.1:${port}/v2/`);
      return `127.0.0.1:${port}`;
    } catch (error) {
      if (tries > 100) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

const indexType = 'application/vnd.oci.image.index.v1+json';

/** Another tool's artifact that refers to `subject`, listed under the referrers tag. */
async function pushForeignReferrer(registry: string, subject: string): Promise<object> {
  const base = `http://${registry}/v2/team/app`;
  const put = async (path: string, type: string, body: string): Promise<void> => {
    const response = await fetch(path, { method: 'PUT', headers: { 'content-type': type }, body });
    expect(response.status, path).toBe(201);
  };
  const started = await fetch(`${base}/blobs/uploads/`, { method: 'POST' });
  const empty = { digest: digestOf(Buffer.from('{}')), size: 2 };
  const upload = started.headers.get('location') ?? '';
  await put(`${upload}&digest=${empty.digest}`, 'application/octet-stream', '{}');
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/x-signature', ...empty },
    layers: [],
  });
  const digest = digestOf(Buffer.from(manifest));
  await put(`${base}/manifests/${digest}`, mediaType, manifest);
  const artifactType = 'application/x-signature';
  const foreign = { mediaType, digest, size: manifest.length, artifactType };
  const index = { schemaVersion: 2, mediaType: indexType, manifests: [foreign] };
  await put(`${base}/manifests/${subject.replace(':', '-')}`, indexType, JSON.stringify(index));
  return foreign;
}

/** Fetch back from `reference` image and overlay, and restore the original from them. */
async function expectRestorable(reference: string): Promise<void> {
  const debloated = await openImage(reference, { workspace });
  expect(debloated.config.digest).toBe(parts.built.config.digest);
  expect(debloated.manifest.digest).toBe(parts.built.manifest.digest);
  const overlay = await pullOverlay(debloated, parseReference(reference), { workspace });
  expect(overlay).toMatchObject({ digest: parts.overlay.digest, format: 'squashfs' });
  const restored = await restoreImage({ debloated, overlayFile: overlay.file, workspace });
  expect(restored.config.digest).toBe(image.config.digest);
}

describe('OCI layout', () => {
  test('holds image and overlay; a second image joins it, the same tag moves', async () => {
    const layout = join(dir, 'layout');
    const other = await build('gzip', ['/bin/tool']);
    await publishImage(other.built, parseReference(`oci:${layout}:other`), { workspace });
    await publishImage(other.built, parseReference(`oci:${layout}:app`), { workspace });
    const published = await publishImage(parts.built, parseReference(`oci:${layout}:app`), {
      workspace,
      overlay: parts.overlay,
    });
    expect(published).toEqual({
      reference: `oci:${layout}:app`,
      digest: parts.built.manifest.digest,
    });
    await expectRestorable(`oci:${layout}:app`);
    const kept = await openImage(`oci:${layout}:other`, { workspace });
    expect(kept.manifest.digest).toBe(other.built.manifest.digest);
    expect(
      readdirSync(join(layout, 'blobs/sha256')).filter((name) => !/^[0-9a-f]{64}$/.test(name)),
    ).toEqual([]);
  });

  test('without a tag, and read by another tool', async () => {
    const layout = join(dir, 'untagged');
    const options = { workspace, overlay: parts.overlay };
    await publishImage(parts.built, parseReference(`oci:${layout}`), options);
    await expectRestorable(`oci:${layout}`);
    const tagged = join(dir, 'tagged');
    await publishImage(parts.built, parseReference(`oci:${tagged}:1`), options);
    const seen = execFileSync('skopeo', ['inspect', '--config', `oci:${tagged}:1`]).toString();
    expect(JSON.parse(seen)).toMatchObject({ created: '2024-01-02T03:04:05Z' });
  });

  test('an unwritable place is named, and nothing is left there', async () => {
    const file = join(dir, 'a-file');
    writeFileSync(file, '');
    await expect(
      publishImage(parts.built, parseReference(`oci:${file}/layout:1`), { workspace }),
    ).rejects.toThrow(/a-file/);
  });
});

describe('archives', () => {
  test('an OCI archive is the same in every run, and reads back', async () => {
    const bytes = [];
    for (const name of ['one.tar', 'two.tar']) {
      const path = join(dir, name);
      await publishImage(parts.built, parseReference(`oci-archive:${path}:app`), {
        workspace,
        overlay: parts.overlay,
      });
      bytes.push(readFileSync(path));
    }
    expect(bytes[0]?.equals(bytes[1] ?? Buffer.alloc(0))).toBe(true);
    const back = await openImage(`oci-archive:${join(dir, 'one.tar')}:app`, { workspace });
    expect(back.manifest.digest).toBe(parts.built.manifest.digest);
  });

  test.each(['gzip', 'zstd'] as const)(
    'a docker archive keeps the config (%s)',
    async (compression) => {
      const { built } = await build(compression);
      const path = join(dir, `${compression}.docker.tar`);
      await publishImage(built, parseReference(`docker-archive:${path}:app:1`), { workspace });
      const back = await openImage(`docker-archive:${path}`, { workspace });
      expect(back.config.digest).toBe(built.config.digest);
      expect(back.layers.map(({ diffId }) => diffId)).toEqual(
        built.layers.map(({ diffId }) => diffId),
      );
      const seen = execFileSync('skopeo', [
        'inspect',
        '--raw',
        `docker-archive:${path}`,
      ]).toString();
      expect(seen).toContain(built.config.digest);
    },
  );

  test('a directory that is not there is named, and nothing is left', async () => {
    const path = join(dir, 'nowhere', 'x.tar');
    await expect(
      publishImage(parts.built, parseReference(`oci-archive:${path}:1`), { workspace }),
    ).rejects.toThrow(/cannot write .*nowhere\/x\.tar/);
    expect(existsSync(join(dir, 'nowhere'))).toBe(false);
  });
});

describe('registry', () => {
  test('image by tag, overlay as its referrer, beside referrers of others', async () => {
    const registry = await startRegistry();
    const name = `${registry}/team/app`;
    const tag = parts.built.manifest.digest.replace(':', '-');
    const foreign = await pushForeignReferrer(registry, parts.built.manifest.digest);

    const target = parseReference(`registry://${name}:slim`);
    for (let i = 0; i < 2; i++) {
      const published = await publishImage(parts.built, target, {
        workspace,
        overlay: parts.overlay,
      });
      expect(published.digest).toBe(parts.built.manifest.digest);
    }
    await expectRestorable(`registry://${name}:slim`);
    const response = await fetch(`http://${registry}/v2/team/app/manifests/${tag}`, {
      headers: { accept: indexType },
    });
    const { manifests } = (await response.json()) as { manifests: Record<string, unknown>[] };
    expect(manifests).toHaveLength(2);
    expect(manifests[0]).toEqual(foreign);
    expect(manifests[1]).toMatchObject({ artifactType: 'application/vnd.debloat.overlay.v1' });
  });

  test('credentials: wrong ones give a clear sentence and no tag, right ones push', async () => {
    const htpasswd = join(dir, 'htpasswd');
    // the password "right"
    writeFileSync(htpasswd, 'user:$2y$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC\n');
    const registry = await startRegistry({ auth: { htpasswd: { realm: 'test', path: htpasswd } } });
    const target = parseReference(`registry://${registry}/app:1`);
    const push = (password: string) =>
      publishImage(parts.built, target, {
        workspace,
        overlay: parts.overlay,
        credentials: { username: 'user', password },
      });
    await expect(push('wrong')).rejects.toThrow(
      new RegExp(`the registry refuses access to ${registry}/app`),
    );
    const tags = async (): Promise<unknown> => {
      const authorization = `Basic ${Buffer.from('user:right').toString('base64')}`;
      const url = `http://${registry}/v2/app/tags/list`;
      return (await fetch(url, { headers: { authorization } })).json();
    };
    expect(await tags()).toHaveProperty('errors'); // no such repository
    await push('right');
    expect(await tags()).toMatchObject({ tags: expect.arrayContaining(['1']) as unknown });
  });

  test('no registry there: a clear sentence', async () => {
    const port = await freePort();
    await expect(
      publishImage(parts.built, parseReference(`registry://127.0.0.1:${port}/app:1`), {
        workspace,
      }),
    ).rejects.toThrow(/connection refused/);
  });
});

describe('engine', () => {
  let engine: EngineConnection;
  const name = `debloat-publish-test:${process.pid}`;

  beforeAll(async () => {
    engine = await engineConnection();
  });

  afterAll(async () => {
    await engine.docker.getImage(name).remove({ force: true });
  });

  test.each(['gzip', 'zstd'] as const)('loads and names the image (%s)', async (compression) => {
    const { built } = await build(compression);
    const published = await publishImage(built, parseReference(`docker://${name}`), { workspace });
    expect(published).toEqual({ reference: `docker://${name}`, digest: built.config.digest });
    const inspected = await engine.docker.getImage(name).inspect();
    expect(inspected.Config.Healthcheck?.Interval).toBe(30_000_000_000);
    expect(inspected.Config.Labels).toMatchObject({
      keep: 'me',
      'dev.debloat.source.config': image.config.digest,
    });
  });
});

test('a target that is no place to publish to is refused', async () => {
  mkdirSync(join(dir, 'plain'));
  await expect(
    publishImage(parts.built, parseReference(`dir:${join(dir, 'plain')}`), { workspace }),
  ).rejects.toMatchObject({ exitCode: 2 });
});
