import { buildTree } from '../../analyzer/image/tree.js';
import type { Digest, Entry, Image } from '../../analyzer/image/types.js';
import type { Reason } from '../../analyzer/keep/types.js';
import type { ReportInput } from '../../analyzer/report/input.js';

/** What a file of the sample image is: parents are made as they are needed. */
export interface SampleFile {
  path: string;
  size?: number;
  mode?: number;
  /** Target of a symlink. */
  link?: string;
  /** All names of its hardlink group. */
  links?: string[];
  capability?: boolean;
  /** Why it stays; it goes if there is none. */
  reason?: Reason;
}

export function digestOf(digit: string): Digest {
  return `sha256:${digit.repeat(64)}`;
}

const traced: Reason = { kind: 'traced', access: 'open', by: 'nginx' };

export const sampleFiles: SampleFile[] = [
  { path: '/usr/sbin/nginx', size: 1_200_000, mode: 0o755, reason: { ...traced, access: 'exec' } },
  {
    path: '/usr/lib/libc.so.6',
    size: 1_900_000,
    reason: { kind: 'closure', rule: 'DT_NEEDED', because: '/usr/sbin/nginx' },
  },
  { path: '/etc/nginx/nginx.conf', size: 1500, reason: traced },
  { path: '/etc/empty', reason: { kind: 'cheap', what: 'empty file' } },
  { path: '/usr/bin/dash', size: 120_000, mode: 0o755 },
  { path: '/usr/bin/sh', link: 'dash' },
  { path: '/usr/bin/bash', size: 1_300_000, mode: 0o755 },
  { path: '/usr/bin/su', size: 71_000, mode: 0o4755 },
  { path: '/usr/bin/ping', size: 90_000, mode: 0o755, capability: true },
  {
    path: '/usr/bin/perl',
    size: 3_700_000,
    mode: 0o755,
    links: ['/usr/bin/perl', '/usr/bin/perl5.36'],
  },
  {
    path: '/usr/bin/perl5.36',
    size: 3_700_000,
    mode: 0o755,
    links: ['/usr/bin/perl', '/usr/bin/perl5.36'],
  },
  { path: '/usr/share/doc/nginx/copyright', size: 9000 },
  { path: '/usr/share/doc/bash/README', size: 45_000 },
  { path: '/usr/share/doc/</script><img src=x onerror=alert(1)>|`', size: 100 },
  { path: '/usr/share/doc/caf\udce9\u001b[31m', size: 50 },
];

/** A report's input, as a build of a small nginx image would give it. */
export function sampleInput(files: SampleFile[] = sampleFiles): ReportInput {
  const reasons = new Map(files.flatMap((file) => (file.reason ? [[file.path, file.reason]] : [])));
  const kept = files.filter((file) => file.reason).reduce((sum, file) => sum + storedSize(file), 0);
  const total = files.reduce((sum, file) => sum + storedSize(file), 0);
  return {
    toolVersion: '0.1.0',
    createdAt: '2026-01-02T03:04:05.000Z',
    image: sampleImage(files),
    keep: { policy: 'balanced', reasons },
    describeReason: describe,
    packages: {
      before: [
        { manager: 'dpkg', name: 'nginx', version: '1.22', files: ['/usr/sbin/nginx'] },
        {
          manager: 'dpkg',
          name: 'bash',
          version: '5.2',
          architecture: 'amd64',
          files: ['/usr/bin/bash', '/usr/share/doc/bash/README'],
        },
      ],
      after: [{ manager: 'dpkg', name: 'nginx', version: '1.22', files: ['/usr/sbin/nginx'] }],
    },
    rewritten: [{ path: '/var/lib/dpkg/status', why: 'dpkg status of 1 package instead of 2' }],
    result: {
      manifestDigest: digestOf('c'),
      configDigest: digestOf('d'),
      targets: ['docker://nginx:debloated'],
      layers: [{ diffId: digestOf('e'), uncompressed: kept, compressed: Math.ceil(kept / 3) }],
    },
    overlay: {
      file: './out/overlay.squashfs',
      format: 'squashfs',
      digest: digestOf('f'),
      size: Math.ceil((total - kept) / 3),
      files: 9,
    },
    outputDir: './out',
    trace: {
      schemaVersion: 1,
      image: { reference: 'docker://nginx:1', configDigest: digestOf('b') },
      runs: [
        {
          startedAt: '2026-01-02T03:04:05.000Z',
          seconds: 2.5,
          runtime: 'runc 1.1.5',
          events: 1234,
          unreadable: {},
          newPaths: 210,
        },
        {
          startedAt: '2026-01-02T03:04:15.000Z',
          seconds: 2.4,
          runtime: 'runc 1.1.5',
          events: 1230,
          unreadable: { sh: 2 },
          newPaths: 0,
        },
      ],
      paths: { '/usr/sbin/nginx': { access: { exec: 'nginx' }, runs: 2 } },
      missing: { '/etc/ld.so.preload': 'nginx' },
    },
    probes: {
      original: [
        {
          probe: { kind: 'http', path: '/' },
          ok: true,
          detail: 'HTTP 200, 612 bytes',
          seconds: 0.1,
        },
      ],
      debloated: [
        {
          probe: { kind: 'http', path: '/' },
          ok: true,
          detail: 'HTTP 200, 612 bytes',
          seconds: 0.2,
        },
      ],
    },
    verification: { status: 'passed', why: null },
    timings: [
      { stage: 'acquire', seconds: 4.2 },
      { stage: 'trace', seconds: 5 },
      { stage: 'overlay', seconds: 3.3 },
    ],
    warnings: ['the image has no health check'],
  };
}

function storedSize(file: SampleFile): number {
  return file.links && file.links[0] !== file.path ? 0 : (file.size ?? 0);
}

function describe(reason: Reason): string {
  switch (reason.kind) {
    case 'traced':
      return `${reason.access} by ${reason.by}`;
    case 'closure':
      return `${reason.rule} of ${reason.because}`;
    case 'rule':
      return `${reason.pattern} (${reason.origin})`;
    case 'cheap':
      return reason.what;
  }
}

function sampleImage(files: SampleFile[]): Image {
  const size = files.reduce((sum, file) => sum + storedSize(file), 0);
  const entries = files.map(entryOf);
  const document = { bytes: Buffer.from('{}'), mediaType: 'application/json' };
  return {
    reference: 'docker://nginx:1',
    platform: { os: 'linux', architecture: 'amd64' },
    manifest: {
      ...document,
      digest: digestOf('a'),
      value: {
        schemaVersion: 2,
        config: { mediaType: 'application/json', digest: digestOf('b'), size: 2 },
        layers: [],
      },
    },
    config: {
      ...document,
      digest: digestOf('b'),
      value: { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } },
    },
    layers: [
      {
        index: 0,
        descriptor: { mediaType: 'application/x-tar', digest: digestOf('1'), size },
        diffId: digestOf('1'),
        size: size + 20_480,
        file: '/nowhere',
        entries,
      },
    ],
    tree: buildTree([{ entries }]),
    read: () => Promise.reject(new Error('the sample has no contents')),
    readRange: () => Promise.reject(new Error('the sample has no contents')),
  };
}

function entryOf(file: SampleFile): Entry {
  const hardlink = file.links && file.links[0] !== file.path;
  const link = hardlink ? file.links?.[0] : file.link;
  return {
    path: file.path,
    kind: hardlink ? 'hardlink' : file.link === undefined ? 'file' : 'symlink',
    mode: file.mode ?? 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    size: storedSize(file),
    layer: 0,
    headerOffset: 0,
    dataOffset: 512,
    storedSize: storedSize(file),
    endOffset: 512,
    ...(link === undefined ? {} : { link }),
    ...(file.capability ? { xattrs: new Map([['security.capability', Buffer.alloc(20)]]) } : {}),
  };
}
