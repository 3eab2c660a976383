import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import Docker from 'dockerode';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeDockerArchive } from '../../analyzer/image/archive.js';
import { digestOf } from '../../analyzer/image/digest.js';
import { mediaTypes } from '../../analyzer/image/manifest.js';
import type { Digest, Image } from '../../analyzer/image/types.js';
import type { AcquireProgress } from '../../analyzer/transport/acquired.js';
import { openImage, type OpenOptions } from '../../analyzer/transport/open-image.js';
import { machinePlatform, parsePlatform } from '../../analyzer/transport/platform.js';
import { Workspace } from '../../analyzer/workspace/workspace.js';
import { LayoutWriter, tagged } from '../support/oci-layout.js';
import { freePort, Registry } from '../support/own-registry.js';
import { archive, member } from '../support/raw-tar.js';

const gzipType = `${mediaTypes.ociLayer}+gzip`;
const password = 's3cret';
// bcrypt of it, the only hash that the registry reads.
const htpasswd = 'user:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n';

let dir: string;
let workspaces: string;
let open: Registry;
let locked: Registry;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'transport-test-'));
  workspaces = join(dir, 'workspaces');
  writeFileSync(join(dir, 'htpasswd'), htpasswd);
  open = await Registry.start(join(dir, 'open'));
  locked = await Registry.start(
    join(dir, 'locked'),
    `auth: { htpasswd: { realm: test, path: ${join(dir, 'htpasswd')} } }`,
  );
});
afterAll(async () => {
  await open.stop();
  await locked.stop();
  rmSync(dir, { recursive: true, force: true });
});

function hello(content: string): Buffer {
  return archive(
    member({ name: 'hello', data: content }),
    member({ name: 'pad', data: Buffer.alloc(50_000, content) }),
  );
}

async function read(image: Image): Promise<string> {
  const node = image.tree.get('/hello');
  return node ? (await image.read(node)).toString() : 'there is no /hello';
}

/** Open, read, clean up; nothing may be left of it. */
async function content(
  reference: string,
  options: Partial<OpenOptions> = {},
  use: (image: Image) => Promise<string> = read,
): Promise<string> {
  try {
    await using workspace = await Workspace.create(workspaces);
    const image = await openImage(reference, { workspace, ...options });
    try {
      return await use(image);
    } finally {
      image.close?.();
    }
  } finally {
    expect(readdirSync(workspaces)).toEqual([]);
  }
}

describe('a registry', () => {
  const tar = hello('from a registry');
  const blob = gzipSync(tar);

  function layoutOf(tag: string, ...layers: Parameters<LayoutWriter['image']>[0]): LayoutWriter {
    const writer = new LayoutWriter(mkdtempSync(join(dir, 'layout-')));
    writer.index([tagged(writer.image(layers), tag)]);
    return writer;
  }

  it('gives the image with manifest and config as they are there', async () => {
    const layout = layoutOf('1', { tar, blob, mediaType: gzipType });
    open.push(layout, 'team/api:1');
    const seen: AcquireProgress[] = [];
    const options = { progress: (progress: AcquireProgress) => seen.push({ ...progress }) };
    const index = JSON.parse(readFileSync(join(layout.dir, 'index.json'), 'utf8')) as {
      manifests: { digest: Digest }[];
    };
    for (const reference of [
      `registry://${open.address}/team/api:1`,
      `registry://${open.address}/team/api@${index.manifests[0]?.digest ?? ''}`,
    ]) {
      expect(
        await content(reference, options, async (image) => {
          expect(image.manifest.digest).toBe(index.manifests[0]?.digest);
          expect(digestOf(image.manifest.bytes)).toBe(image.manifest.digest);
          expect(image.layers[0]).toMatchObject({
            diffId: digestOf(tar),
            compressedSize: blob.length,
          });
          return read(image);
        }),
      ).toBe('from a registry');
    }
    expect(seen.at(-1)).toEqual({ stage: 'unpack', bytes: blob.length, total: blob.length });
  });

  it('gives zstd layers', async () => {
    const zstd = execFileSync('zstd', ['-c'], { input: tar });
    open.push(
      layoutOf('zstd', { tar, blob: zstd, mediaType: `${mediaTypes.ociLayer}+zstd` }),
      'team/api:zstd',
    );
    expect(await content(`registry://${open.address}/team/api:zstd`)).toBe('from a registry');
  });

  it('gives of a multi-arch index the platform asked for, else that of this machine', async () => {
    const writer = new LayoutWriter(mkdtempSync(join(dir, 'layout-')));
    const own = machinePlatform();
    const manifests = [
      { os: 'linux', architecture: 's390x' },
      own,
      { os: 'linux', architecture: 'arm', variant: 'v7' },
    ].map((platform) => ({
      ...writer.image([{ tar: hello(`on ${platform.architecture}`) }], { config: platform }),
      platform,
    }));
    const index = writer.blob(mediaTypes.ociIndex, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests,
    });
    writer.index([tagged(index, 'multi')]);
    open.push(writer, 'team/api:multi');
    const reference = `registry://${open.address}/team/api:multi`;
    expect(await content(reference)).toBe(`on ${own.architecture}`);
    expect(await content(reference, { platform: parsePlatform('linux/s390x') })).toBe('on s390x');
    await expect(
      content(reference, { platform: parsePlatform('linux/mips') }),
    ).rejects.toMatchObject({
      message: `${open.address}/team/api:multi has no image for linux/mips`,
      hint: expect.stringContaining('linux/s390x') as string,
    });
  });

  it.each([
    ['name', '/nothing/here:1', /there is no image localhost:\d+\/nothing\/here:1/],
    ['tag', '/team/api:nope', /there is no image localhost:\d+\/team\/api:nope/],
  ])('without that %s', async (_, name, message) => {
    await expect(content(`registry://${open.address}${name}`)).rejects.toThrow(message);
  });

  it('that does not answer', async () => {
    const port = await freePort();
    await expect(content(`registry://localhost:${port}/x`)).rejects.toThrow('connection refused');
    await expect(content('registry://debloat.invalid/x')).rejects.toThrow(
      'host of debloat.invalid/x:latest',
    );
  });

  it('that speaks plain HTTP is trusted on loopback only', async () => {
    const reference = `registry://${open.address}/team/api:1`;
    await expect(content(reference, { insecure: false })).rejects.toThrow('speaks plain HTTP');
  });

  it('that was damaged on its disk', async () => {
    const fragile = hello('fragile');
    const stored = gzipSync(fragile);
    open.push(layoutOf('1', { tar: fragile, blob: stored, mediaType: gzipType }), 'fragile:1');
    const bytes = Buffer.from(stored);
    bytes.fill(0, 40, 60);
    writeFileSync(open.blob(digestOf(stored)), bytes);
    await expect(content(`registry://${open.address}/fragile:1`)).rejects.toThrow(/damaged/);
  });

  it('whose image has a wrong diff ID', async () => {
    const wrong: Digest = `sha256:${'7'.repeat(64)}`;
    open.push(layoutOf('1', { tar, blob, mediaType: gzipType, diffId: wrong }), 'wrong:1');
    await expect(content(`registry://${open.address}/wrong:1`)).rejects.toThrow(
      `layer 1 (${digestOf(blob)}) holds a tar whose digest is ${digestOf(tar)} instead of ${wrong}`,
    );
  });

  it('that wants a password', async () => {
    locked.push(layoutOf('1', { tar, blob, mediaType: gzipType }), 'secret:1', `user:${password}`);
    const reference = `registry://${locked.address}/secret:1`;
    const refused = {
      message: expect.stringContaining('refuses access') as string,
      hint: expect.stringContaining('login') as string,
    };
    await expect(content(reference)).rejects.toMatchObject(refused);
    await expect(
      content(reference, { credentials: { username: 'user', password: 'wrong' } }),
    ).rejects.toMatchObject(refused);
    expect(await content(reference, { credentials: { username: 'user', password } })).toBe(
      'from a registry',
    );

    const authFile = join(dir, 'auth.json');
    await expect(content(reference, { authFile })).rejects.toThrow(
      `there is no authentication file ${authFile}`,
    );
    const auth = Buffer.from(`user:${password}`).toString('base64');
    writeFileSync(authFile, JSON.stringify({ auths: { [locked.address]: { auth } } }));
    expect(await content(reference, { authFile })).toBe('from a registry');
  });

  it('is left at once when interrupted', async () => {
    const stop = new AbortController();
    const opening = content(`registry://${open.address}/team/api:1`, { signal: stop.signal });
    setTimeout(() => stop.abort(), 30);
    await expect(opening).rejects.toThrow(/abort/i);
  });
});

describe('the Docker engine', () => {
  const docker = new Docker();
  const name = `debloat-transport-test-${process.pid}:1`;
  const lower = hello('from the engine');
  const upper = archive(member({ name: '.wh.pad' }), member({ name: 'second' }));
  let id: string;

  beforeAll(async () => {
    const files = [lower, upper].map((bytes, i) => {
      const file = join(dir, `engine-${i}.tar`);
      writeFileSync(file, bytes);
      return { file, size: bytes.length };
    });
    const { os, architecture } = machinePlatform();
    const configBytes = Buffer.from(
      JSON.stringify({
        os,
        architecture,
        config: { Cmd: ['/x'], Healthcheck: { Test: ['CMD', '/x'] } },
        rootfs: { type: 'layers', diff_ids: [lower, upper].map(digestOf) },
      }),
    );
    id = digestOf(configBytes);
    const parts = { configBytes, configDigest: digestOf(configBytes), layers: files, tags: [name] };
    const answer = await docker.loadImage(writeDockerArchive(parts));
    await new Promise((resolve) => answer.resume().on('end', resolve));
  });
  afterAll(() => docker.getImage(name).remove({ force: true }));

  it.each([
    ['its name', () => `docker://${name}`],
    ['a bare name', () => name],
    ['its ID', () => `docker://${id}`],
    ['a short ID', () => `docker://${id.slice('sha256:'.length, 'sha256:'.length + 12)}`],
  ])('gives an image by %s', async (_, reference) => {
    const result = await content(reference(), {}, async (image) => {
      expect(image.config.digest).toBe(id);
      expect(image.layers.map(({ diffId }) => diffId)).toEqual([lower, upper].map(digestOf));
      expect([...image.tree.nodes()].map(({ path }) => path)).toEqual(['/hello', '/second']);
      expect(image.config.value.config?.Healthcheck?.Test).toEqual(['CMD', '/x']);
      return read(image);
    });
    expect(result).toBe('from the engine');
  });

  it('without that image says so, and a bare name goes on to the registry', async () => {
    await expect(content('docker://debloat-nothing:1')).rejects.toMatchObject({
      message: expect.stringContaining('has no image debloat-nothing:1') as string,
      hint: expect.stringContaining('registry://debloat-nothing:1') as string,
    });
    await expect(content(`${open.address}/debloat-nothing:1`)).rejects.toThrow(
      /there is no image localhost:\d+\/debloat-nothing:1 \(and the engine at .* does not have it\)/,
    );
    open.push(
      ((writer) => {
        writer.index([tagged(writer.image([{ tar: hello('only in the registry') }]), '1')]);
        return writer;
      })(new LayoutWriter(mkdtempSync(join(dir, 'layout-')))),
      'only-here:1',
    );
    expect(await content(`${open.address}/only-here:1`)).toBe('only in the registry');
  });

  it('has the image for another platform', async () => {
    await expect(
      content(`docker://${name}`, { platform: parsePlatform('linux/mips') }),
    ).rejects.toThrow('not for linux/mips');
  });

  describe('that does not answer', () => {
    const host = process.env['DOCKER_HOST'];
    beforeEach(() => {
      process.env['DOCKER_HOST'] = 'unix:///nowhere/docker.sock';
      return () => {
        if (host === undefined) delete process.env['DOCKER_HOST'];
        else process.env['DOCKER_HOST'] = host;
      };
    });

    it('is reported, and a bare name comes from the registry', async () => {
      await expect(content(`docker://${name}`)).rejects.toThrow('no container engine answers');
      expect(await content(`${open.address}/only-here:1`)).toBe('only in the registry');
    });
  });
});

describe('a full disk', () => {
  it.each(['fetching', 'decompressing', 'taking an archive apart'])('while %s', async (when) => {
    const small = mkdtempSync(join(dir, 'small-'));
    const tar = archive(member({ name: 'hello', data: Buffer.alloc(6_000_000) }));
    const noise = archive(
      member({
        name: 'noise',
        data: Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 2654435761) >>> 13)),
      }),
    );
    const writer = new LayoutWriter(mkdtempSync(join(dir, 'layout-')));
    const layer =
      when === 'decompressing' ? { tar, blob: gzipSync(tar), mediaType: gzipType } : { tar: noise };
    writer.index([tagged(writer.image([layer]), '1')]);
    let reference = `oci:${writer.dir}`;
    if (when === 'fetching') {
      open.push(writer, 'large:1');
      reference = `registry://${open.address}/large:1`;
    }
    if (when === 'taking an archive apart') {
      execFileSync('tar', ['-cf', join(dir, 'large.tar'), '-C', writer.dir, '.']);
      reference = `oci-archive:${join(dir, 'large.tar')}`;
    }
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', small]);
    try {
      await using workspace = await Workspace.create(small);
      await expect(openImage(reference, { workspace })).rejects.toThrow(
        /^no space left in .*small-.*: at least [36]0\d{5} bytes are needed, \d+ are free$/,
      );
      await workspace.dispose();
      expect(readdirSync(small)).toEqual([]);
    } finally {
      execFileSync('umount', [small]);
    }
  });
});
