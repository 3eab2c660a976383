import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf } from '../../analyzer/image/digest.js';
import { assembleImage } from '../../analyzer/image/image.js';
import { indexLayer } from '../../analyzer/image/index-layer.js';
import type { Image, ImageConfig, ImageManifest, Layer } from '../../analyzer/image/types.js';
import type { KeepSet } from '../../analyzer/keep/types.js';

const paxWithXattrs = ['--format=pax', '--xattrs', '--xattrs-include=*'];

/**
 * An image whose layers are what shell scripts make in an empty directory each, packed by GNU tar.
 * A file `.wh.NAME` in a layer is a whiteout. `format` is tar's.
 */
export async function imageOfScripts(
  dir: string,
  scripts: { script: string; tarOptions?: string[] }[],
): Promise<Image> {
  const files = scripts.map(({ script, tarOptions = paxWithXattrs }, index) => {
    const root = mkdtempSync(join(dir, 'layer-'));
    execFileSync('bash', ['-euc', script], { cwd: root });
    const file = join(dir, `layer-${index}.tar`);
    execFileSync('tar', [
      ...['--create', '--file', file, '--directory', root, '--sort=name'],
      ...['--numeric-owner', ...tarOptions, '.'],
    ]);
    rmSync(root, { recursive: true });
    return file;
  });
  return imageOfTars(files);
}

/** An image of layer tars on this machine. */
export async function imageOfTars(files: string[]): Promise<Image> {
  const layers: Layer[] = [];
  for (const [index, file] of files.entries()) {
    const diffId = digestOf(readFileSync(file));
    const size = statSync(file).size;
    const mediaType = 'application/vnd.oci.image.layer.v1.tar';
    layers.push({
      index,
      descriptor: { mediaType, digest: diffId, size },
      diffId,
      size,
      file,
      entries: await indexLayer(file, { index, name: `layer ${index + 1}` }),
    });
  }
  const config: ImageConfig = {
    os: 'linux',
    architecture: 'amd64',
    created: '2024-01-02T03:04:05Z',
    config: {
      Cmd: ['/bin/true'],
      Labels: { keep: 'me' },
      Healthcheck: { Test: ['CMD', 'true'], Interval: 30_000_000_000 },
    },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: [
      ...layers.map((_, index) => ({ created_by: `step ${index}` })),
      { created_by: 'CMD', empty_layer: true },
    ],
    'moby.unknown': { nested: [1, 2] },
  };
  const configBytes = Buffer.from(JSON.stringify(config, undefined, 1));
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(configBytes),
      size: configBytes.length,
    },
    layers: layers.map((layer) => layer.descriptor),
    annotations: { 'org.example.kept': 'yes' },
  };
  const manifestBytes = Buffer.from(JSON.stringify(manifest));
  return assembleImage({
    reference: 'oci:/somewhere/layout:tag',
    platform: { os: 'linux', architecture: 'amd64' },
    manifest: {
      bytes: manifestBytes,
      digest: digestOf(manifestBytes),
      mediaType: manifest.mediaType ?? '',
      value: manifest,
    },
    config: {
      bytes: configBytes,
      digest: digestOf(configBytes),
      mediaType: manifest.config.mediaType,
      value: config,
    },
    layers,
  });
}

/** A keep set of exactly these paths. */
export function keepSetOf(paths: Iterable<string>): KeepSet {
  const reason = { kind: 'rule', pattern: 'test', origin: 'test' } as const;
  return { policy: 'strict', reasons: new Map([...paths].map((path) => [path, reason])) };
}

/** Every odd kind of file, over several layers. Needs root for devices and owners. */
export const oddLayers: { script: string; tarOptions?: string[] }[] = [
  {
    script: `
      mkdir -p bin etc usr/lib empty var/cache gone/deep opaque mixed
      echo kept > bin/app; chmod 4755 bin/app; echo removed > bin/tool; chown 12:34 bin/tool
      echo one > etc/one; ln etc/one etc/two; ln etc/one etc/three
      echo shadowed > etc/conf; echo db1 > etc/db
      head -c 300000 /dev/urandom > usr/lib/big; ln -s big usr/lib/link; ln -s /absolute/none usr/lib/dangling
      mknod etc/null c 1 3; mknod etc/disk b 8 1; mkfifo etc/fifo
      echo cap > bin/ping; setcap cap_net_raw+ep bin/ping 2>/dev/null || setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 bin/ping
      setfattr -n user.note -v "a value" bin/tool; setfattr -n user.dir -v d var/cache
      truncate -s 50M usr/lib/sparse; echo middle | dd of=usr/lib/sparse bs=1 seek=10000000 conv=notrunc status=none
      head -c 100 /dev/urandom > etc/secret; chmod 600 etc/secret
      touch $'latin-\\xe9' $'new\\nline' 'with space' '"quote"' empty-file
      L=$(printf 'n%.0s' $(seq 120)); mkdir -p long/$L/$L; echo long > long/$L/$L/$L; ln -s $L$L$L$L long/symlink
      echo gone > gone/deep/file; echo below > opaque/below; echo x > mixed/x; echo y > mixed/y
      chmod 1777 var/cache; chown 55:66 var/cache; chmod 700 empty; chmod 0000 etc/db
      chown 3000000:3000000 usr/lib/big
      touch -d '2001-02-03 04:05:06.789' bin/app bin/tool usr/lib/big
      touch -d @1000000000 var/cache empty bin etc usr/lib .
    `,
    tarOptions: [...paxWithXattrs, '--sparse'],
  },
  {
    script: `
      mkdir -p etc opaque mixed
      echo changed > etc/conf; touch etc/.wh.one .wh.gone opaque/.wh..wh..opq
      echo above > opaque/above; touch mixed/.wh.x; echo z > mixed/z
      echo db2 > etc/db; rm -f etc/.keep; touch etc/.wh.secret
      chmod 2750 etc; touch -d @1100000000 etc opaque mixed
    `,
    tarOptions: ['--format=gnu'],
  },
  {
    script: `
      mkdir -p etc usr/lib srv; echo again > etc/one; echo a > srv/a; ln srv/a srv/b; ln srv/a srv/c
      truncate -s 9M usr/lib/holes; echo tail >> usr/lib/holes
      chmod 2750 etc; touch -d @1200000000 etc usr/lib srv
    `,
    tarOptions: ['--format=gnu', '--sparse', '--blocking-factor=40'],
  },
];
