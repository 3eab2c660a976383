import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ImageConfig } from '../../../analyzer/image/types.js';
import { runCli } from '../../support/cli.js';
import { docker } from '../../support/container.js';
import { registryAddress, testImage } from '../../support/images.js';
import { Layout, tarOf } from '../../support/layout.js';
import { expectNothingLeft, snapshotMachine } from '../../support/leaks.js';
import { expectRefusal } from '../../support/refusal.js';
import { startSecuredRegistry } from '../../support/secured-registry.js';
import { scratchDirectory } from '../../support/scratch.js';

const scratch = scratchDirectory();
const outputDir = join(scratch, 'out');
const noEngine = { DOCKER_HOST: 'unix:///nowhere/docker.sock' };

/** Arguments of a build that would succeed if the input were good. */
function build(reference: string, ...more: string[]): string[] {
  return ['build', reference, '--runtime', 'runc', '--output-dir', outputDir, ...more];
}

let copies = 0;
function copyOf(image: string): Layout {
  return Layout.copyOf(testImage(image).layout, join(scratch, `layout-${++copies}`));
}

describe('a missing image', () => {
  it('in the engine', async () => {
    await expectRefusal(
      build('docker://debloat-test/nobody:9'),
      /no image debloat-test\/nobody:9/,
      {
        outputDir,
      },
    );
  });

  it('in a registry', async () => {
    await expectRefusal(build(`registry://${registryAddress()}/nobody:9`), /nobody:9/, {
      outputDir,
    });
  });

  it('where no registry is', async () => {
    await expectRefusal(build('registry://localhost:1/nginx:1'), /localhost:1/, { outputDir });
  });

  it('in a layout, as a tag and as a whole', async () => {
    const { layout } = testImage('static');
    await expectRefusal(build(`oci:${layout}:9`), /no image tagged "9"/, { outputDir });
    await expectRefusal(build('oci:/nowhere:1'), /no directory \/nowhere/, { outputDir });
  });

  it('as an archive', async () => {
    await expectRefusal(build('docker-archive:/nowhere.tar'), /no file \/nowhere\.tar/, {
      outputDir,
    });
    await expectRefusal(build('docker-archive:/bin/sh'), /damaged or no tar archive/, {
      outputDir,
    });
  });
});

describe('nothing to run the workload with', () => {
  it('no engine and no OCI runtime: says so for each', async () => {
    const path = pathWithout('runc', 'crun');
    const args = ['build', testImage('static').oci, '--http', '/', '--output-dir', outputDir];
    const { stderr } = await expectRefusal(args, /nothing to run .* with/, {
      env: { ...noEngine, PATH: path },
      outputDir,
    });
    for (const name of ['docker', 'podman', 'runc', 'crun']) expect(stderr).toContain(`${name}: `);
  });

  it('an engine is asked for, and none answers', async () => {
    const args = ['build', testImage('static').oci, '--http', '/', '--output-dir', outputDir];
    await expectRefusal([...args, '--runtime', 'docker'], /--runtime docker cannot be used/, {
      env: noEngine,
      outputDir,
    });
  });
});

/** A PATH that has every program of this machine's but `names`. */
function pathWithout(...names: string[]): string {
  const dir = join(scratch, 'bin');
  mkdirSync(dir);
  for (const from of (process.env['PATH'] ?? '').split(delimiter)) {
    const programs = existsSync(from) ? execFileSync('ls', ['-A', from], { encoding: 'utf8' }) : '';
    for (const program of programs.split('\n').filter(Boolean)) {
      const link = join(dir, program);
      if (names.includes(program) || existsSync(link)) continue;
      symlinkSync(join(from, program), link);
    }
  }
  return dir;
}

describe('a damaged image', () => {
  it('a byte of a layer has changed', async () => {
    const layout = copyOf('static');
    const [layer] = layout.manifest.layers;
    if (!layer) throw new Error('no layer');
    const bytes = readFileSync(layout.blob(layer));
    const middle = bytes.length >> 1;
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 0xff, middle);
    writeFileSync(layout.blob(layer), bytes);
    await expectRefusal(build(layout.reference, '--http', '/'), /damaged/, { outputDir });
  });

  it('a layer is cut short', async () => {
    const layout = copyOf('static');
    const [layer] = layout.manifest.layers;
    if (!layer) throw new Error('no layer');
    truncateSync(layout.blob(layer), layer.size >> 1);
    await expectRefusal(build(layout.reference, '--http', '/'), /damaged/, { outputDir });
  });

  it('a layer is another than the config says', async () => {
    const layout = copyOf('static');
    const { manifest } = layout;
    const config = JSON.parse(readFileSync(layout.blob(manifest.config), 'utf8')) as ImageConfig;
    config.rootfs.diff_ids.reverse();
    const bytes = Buffer.from(JSON.stringify(config));
    layout.writeManifest({ ...manifest, config: layout.add('config.v1+json', bytes) });
    await expectRefusal(build(layout.reference, '--http', '/'), /damaged|diff/, { outputDir });
  });

  it('a layer is missing', async () => {
    const layout = copyOf('static');
    const { manifest } = layout;
    const layers = manifest.layers.map((layer) => ({
      ...layer,
      digest: `sha256:${'0'.repeat(64)}` as const,
    }));
    layout.writeManifest({ ...manifest, layers });
    await expectRefusal(build(layout.reference, '--http', '/'), /incomplete: layer 1/, {
      outputDir,
    });
  });

  it('in a registry: the blob is not what its digest says', async () => {
    const name = 'damaged';
    const layout = copyOf('static');
    const address = registryAddress();
    const target = `docker://${address}/${name}:1`;
    execFileSync('skopeo', [
      ...['copy', '--quiet', '--dest-tls-verify=false', '--preserve-digests'],
      ...[layout.reference, target],
    ]);
    const { manifest } = layout;
    const layers = manifest.layers.map((layer) => ({ ...layer, size: layer.size - 1 }));
    const bytes = JSON.stringify({ ...manifest, layers });
    const answer = await fetch(`http://${address}/v2/${name}/manifests/1`, {
      method: 'PUT',
      headers: { 'content-type': manifest.mediaType ?? '' },
      body: bytes,
    });
    expect(answer.status).toBe(201);
    await expectRefusal(build(`registry://${address}/${name}:1`, '--http', '/'), /damaged|size/, {
      outputDir,
    });
  });
});

describe('an archive entry that climbs out', () => {
  const escaped = join(scratch, 'escaped');
  const busybox = { name: 'bin/sh', mode: 0o755, content: readFileSync('/bin/busybox') };

  it.each([
    ['../', [{ name: `../../../../../../..${escaped}`, content: 'out' }]],
    ['inner ../', [{ name: `etc/../../../../../../..${escaped}`, content: 'out' }]],
    ['a hard link', [{ name: 'etc/link', type: 'link' as const, linkname: '../../../etc/passwd' }]],
  ])('%s', async (_, members) => {
    const layout = Layout.of(
      join(scratch, `hostile-${++copies}`),
      [await tarOf([busybox, ...members])],
      ['/bin/sh', '-c', 'true'],
    );
    await expectRefusal(build(layout.reference), /climbs|outside|\.\./, { outputDir });
    expect(existsSync(escaped)).toBe(false);
  });

  it('through an absolute link: stays inside the image', async () => {
    const before = await snapshotMachine();
    const layout = Layout.of(
      join(scratch, `hostile-${++copies}`),
      [
        await tarOf([
          { name: 'out', type: 'symlink', linkname: scratch },
          { name: 'up', type: 'symlink', linkname: '../../../../../../../../tmp' },
        ]),
        await tarOf([
          { name: 'out/escaped', content: 'out' },
          { name: 'up/debloat-escaped', content: 'out' },
        ]),
      ],
      ['/bin/sh', '-c', 'true'],
    );
    const result = await runCli(build(layout.reference));
    expect(existsSync(escaped)).toBe(false);
    expect(result.stderr).toMatch(/^error: /m);
    expect(result.stderr).not.toContain('unexpected failure');
    await expectNothingLeft(before);
  });
});

describe.each(['docker', 'runc'])('a workload that does not work, on %s', (runtime) => {
  const args = (...more: string[]): string[] => [
    ...['build', testImage('nginx').docker, '--runtime', runtime, '--output-dir', outputDir],
    ...more,
  ];

  it('crashes', async () => {
    const crash = ['--entrypoint', '["sh", "-c", "echo no such luck >&2; exit 7"]'];
    const { stderr } = await expectRefusal(args('--http', '/', ...crash), /exit(ed)?.*7|code 7/, {
      outputDir,
    });
    expect(stderr).toContain('no such luck');
  });

  it('is not there', async () => {
    await expectRefusal(
      args('--http', '/', '--entrypoint', '/no/such/program'),
      /no\/such\/program/,
      {
        outputDir,
      },
    );
  });

  it('never becomes ready', async () => {
    const never = ['--entrypoint', '["sleep", "1000"]', '--timeout', '2'];
    await expectRefusal(args('--http', '/', ...never), /2 s/, { outputDir });
  });

  it('fails a probe on the original image', async () => {
    const probe = ['--http', '/nowhere 200', '--timeout', '3'];
    await expectRefusal(args(...probe), /\/nowhere.*404/s, { outputDir });
  });

  it('fails a command on the original image', async () => {
    const probe = ['--exec', 'no-such-tool --flag', '--timeout', '3'];
    await expectRefusal(args('--http', '/', ...probe), /no-such-tool/, { outputDir });
  });
});

describe('a result that cannot be written', () => {
  it('output directory', async () => {
    const file = join(scratch, 'a-file');
    writeFileSync(file, '');
    const args = ['build', testImage('static').oci, '--http', '/', '--runtime', 'runc'];
    await expectRefusal([...args, '-o', join(file, 'out')], /cannot write to the output directory/);
    await expectRefusal([...args, '-o', '/proc/out'], /cannot write to the output directory/);
  });

  it('registry that is not there: nothing of the result stays', async () => {
    const tag = ['--tag', 'registry://localhost:1/nginx:small'];
    await expectRefusal(build(testImage('static').oci, '--http', '/', ...tag), /localhost:1/, {
      outputDir,
    });
  });

  it('a tag that nothing can be published to is refused before the work', async () => {
    const wrong = `dir:${join(scratch, 'dir')}`;
    const result = await runCli(build(testImage('static').oci, '--tag', wrong));
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain(`an image cannot be published to ${wrong}`);
    expect(result.stderr).not.toContain('Open the image');
  });

  it('the second of two tags: the image of the first one keeps its overlay', async () => {
    const archive = join(scratch, 'first.tar');
    const result = await runCli(
      build(
        testImage('static').oci,
        ...[
          '--no-verify',
          '--tag',
          `oci-archive:${archive}`,
          '--tag',
          'registry://localhost:1/x:1',
        ],
      ),
    );
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('localhost:1/x');
    expect(result.stderr).toContain(`published before that: oci-archive:${archive}`);
    const overlay = join(outputDir, 'overlay.squashfs');
    const restored = ['restore', `oci-archive:${archive}`, overlay, '-o', join(scratch, 'again')];
    expect((await runCli(restored)).code).toBe(0);
    rmSync(outputDir, { recursive: true });
  });
});

describe('a full disk', () => {
  const mounted: string[] = [];
  afterAll(() => {
    for (const dir of mounted) execFileSync('umount', [dir]);
  });

  function smallDisk(megabytes: number): string {
    const dir = join(scratch, `disk-${mounted.length}`);
    mkdirSync(dir);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', dir]);
    mounted.push(dir);
    return dir;
  }

  // from too small for the blobs to too small for the unpacked tree
  it.each([20, 100, 300])('of %i MB for the workspace', async (megabytes) => {
    const dir = smallDisk(megabytes);
    await expectRefusal(
      build(testImage('nginx').registry, '--http', '/'),
      /no space|disk is full/i,
      {
        env: { DEBLOAT_TMPDIR: dir },
        outputDir,
      },
    );
    expect(execFileSync('ls', ['-A', dir], { encoding: 'utf8' })).toBe('');
  });

  it('for the output', async () => {
    const dir = join(smallDisk(10), 'out');
    const args = ['build', testImage('nginx').oci, '--http', '/', '--runtime', 'runc', '-o', dir];
    await expectRefusal(args, /no space|disk is full/i, { outputDir: dir });
  });
});

describe('wrong credentials', () => {
  it('are the registry’s to refuse, and said so', async () => {
    await using registry = await startSecuredRegistry(scratch);
    const reference = `registry://${registry.address}/static:1`;
    const push = (credentials: string): Buffer =>
      execFileSync('skopeo', [
        ...['copy', '--quiet', '--dest-tls-verify=false', '--dest-creds', credentials],
        ...[testImage('static').oci, `docker://${registry.address}/static:1`],
      ]);
    push(`${registry.user}:${registry.password}`);
    const authFile = (password: string): string => {
      const file = join(scratch, 'auth.json');
      const auth = Buffer.from(`${registry.user}:${password}`).toString('base64');
      writeFileSync(file, JSON.stringify({ auths: { [registry.address]: { auth } } }));
      return file;
    };
    const refused = /refused|credentials|login|log in/i;
    await expectRefusal(build(reference, '--http', '/'), refused, { outputDir });
    const wrong = ['--http', '/', '--authfile', authFile('wrong')];
    await expectRefusal(build(reference, ...wrong), refused, { outputDir });

    const right = ['--http', '/', '--authfile', authFile(registry.password)];
    const result = await runCli([...build(reference, ...right), '-o', join(scratch, 'let-in')]);
    expect(result).toMatchObject({ code: 0 });
  });
});

describe('a debloated image that fails', () => {
  it('is not tagged; the message names the missing file', async () => {
    const tag = 'debloat-test/nginx:broken';
    const args = [
      'build',
      testImage('nginx').docker,
      '--http',
      '/about',
      '--output-dir',
      outputDir,
    ];
    await expectRefusal(
      [...args, '--drop', '/var/www/html/about.html', '--tag', tag],
      /\/var\/www\/html\/about\.html/,
      { exitCode: 4, outputDir },
    );
    await expect(docker('inspect', tag)).rejects.toThrow(/No such/);
  });
});
