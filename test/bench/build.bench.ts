import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';

/**
 * A whole build without the workload (open, filter, recompress, overlay) against the same work done
 * by hand with system tools: gzip -d of all layers, gzip of the kept part, mksquashfs of the rest.
 */

const layerCount = 4;
let dir: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'bench-build-'));
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('build of a 1 GB image against system tools, and peak memory for 2 GB', async () => {
  const oneGigabyte = makeLayout('1gb', 1e9);
  const ours = await measureBuild(oneGigabyte);
  const baseline = byHand(oneGigabyte, ours.keptList, [
    '-comp',
    'zstd',
    '-Xcompression-level',
    '3',
  ]);
  const twoGigabytes = makeLayout('2gb', 2e9);
  const large = await measureBuild(twoGigabytes);
  const result = {
    uncompressedBytes: ours.uncompressed,
    keptBytes: ours.keptBytes,
    seconds: round(ours.seconds),
    secondsOpen: round(ours.secondsOpen),
    baselineSeconds: round(baseline.total),
    baseline: {
      decompress: round(baseline.decompress),
      recompress: round(baseline.recompress),
      mksquashfs: round(baseline.mksquashfs),
    },
    ratio: round(ours.seconds / baseline.total),
    overlayBytes: ours.overlayBytes,
    baselineOverlayBytes: baseline.overlayBytes,
    peakMegabytes: large.peakMegabytes,
    peakToolMegabytes: large.toolMegabytes,
    largeUncompressedBytes: large.uncompressed,
    largeSeconds: round(large.seconds),
  };
  console.table(result);
  mkdirSync('out/bench', { recursive: true });
  writeFileSync('out/bench/build.json', `${JSON.stringify(result, undefined, 2)}\n`);
  expect(result.ratio).toBeLessThan(1.2);
  expect(result.peakMegabytes).toBeLessThan(300);
});

interface Layout {
  path: string;
  /** The gzip layers, base first. */
  blobs: string[];
}

/** An OCI layout of files of this machine, `size` bytes of them, in gzip layers. */
function makeLayout(name: string, size: number): Layout {
  const root = join(dir, name);
  const blobDir = join(root, 'blobs', 'sha256');
  mkdirSync(blobDir, { recursive: true });
  const lists = fileLists(size);
  const put = (bytes: Buffer, mediaType: string): object => {
    const digest = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(blobDir, digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const blobs: string[] = [];
  const layers = lists.map((list, index) => {
    const listFile = join(dir, `${name}-${index}.list`);
    writeFileSync(listFile, list.join('\0'));
    const tar = join(dir, `${name}-${index}.tar`);
    const from = ['--null', '--files-from', listFile];
    execFileSync('tar', ['--create', '--file', tar, '--directory', '/', '--format=gnu', ...from]);
    const diffId = sha256Of(tar);
    execFileSync('gzip', ['-n', '-5', tar]);
    const digest = sha256Of(`${tar}.gz`);
    const blob = join(blobDir, digest);
    execFileSync('mv', [`${tar}.gz`, blob]);
    blobs.push(blob);
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';
    return {
      diffId,
      descriptor: { mediaType, digest: `sha256:${digest}`, size: statSync(blob).size },
    };
  });
  const config = put(
    Buffer.from(
      JSON.stringify({
        os: 'linux',
        architecture: 'amd64',
        rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => `sha256:${diffId}`) },
      }),
    ),
    'application/vnd.oci.image.config.v1+json',
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = put(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config,
        layers: layers.map(({ descriptor }) => descriptor),
      }),
    ),
    mediaType,
  );
  writeFileSync(join(root, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(root, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [manifest] }),
  );
  return { path: root, blobs };
}

/** Files below /usr by name, split into layers of equal size. */
function fileLists(size: number): string[][] {
  const printed = execFileSync(
    'find',
    ['/usr', '-xdev', '-type', 'f', '-size', '-50M', '-printf', '%s %P\\0'],
    { maxBuffer: 1e9 },
  ).toString('latin1');
  const lists: string[][] = Array.from({ length: layerCount }, () => []);
  let total = 0;
  for (const line of printed.split('\0').filter(isPlain).sort(byHash)) {
    if (total >= size) break;
    const space = line.indexOf(' ');
    lists[Math.floor((total / size) * layerCount)]?.push(`usr/${line.slice(space + 1)}`);
    total += Number(line.slice(0, space));
  }
  if (total < size * 0.9) throw new Error(`this machine has only ${total} bytes of files in /usr`);
  return lists;
}

// names that a list of lines can hold
function isPlain(line: string): boolean {
  return /^[\x20-\x7e]+$/.test(line);
}

function byHash(a: string, b: string): number {
  return hashOf(a) < hashOf(b) ? -1 : 1;
}

const hashes = new Map<string, string>();
function hashOf(text: string): string {
  let hash = hashes.get(text);
  if (hash === undefined) {
    hash = createHash('md5').update(text, 'latin1').digest('hex');
    hashes.set(text, hash);
  }
  return hash;
}

interface Measured {
  seconds: number;
  secondsOpen: number;
  keptBytes: number;
  uncompressed: number;
  overlayBytes: number;
  peakMegabytes: number;
  /** The largest of the tools that it started. */
  toolMegabytes: number;
  /** A file with the kept paths, one a line. */
  keptList: string;
}

async function measureBuild(layout: Layout): Promise<Measured> {
  const out = mkdtempSync(join(dir, 'build-'));
  const script = fileURLToPath(new URL('./build-once.js', import.meta.url));
  const child = execa(process.execPath, [script, layout.path, out], { stderr: 'inherit' });
  const tools = watchTools(child.pid ?? 0);
  const { stdout } = await child;
  return {
    ...(JSON.parse(stdout) as Measured),
    toolMegabytes: tools.stop(),
    keptList: join(out, 'kept.list'),
  };
}

/** The same work with system tools, one after the other, each free to use all processors. */
function byHand(layout: Layout, list: string, compression: string[]) {
  const root = mkdtempSync(join(dir, 'by-hand-'));
  const tars = layout.blobs.map((_, index) => join(root, `${index}.tar`));
  const decompress = timed(() => {
    for (const [index, blob] of layout.blobs.entries())
      shell('gzip -dc "$1" > "$2"', blob, tars[index]);
  });
  // taking the trees apart is not counted: only the three steps named
  const trees = { kept: join(root, 'kept'), rest: join(root, 'rest') };
  mkdirSync(trees.kept);
  mkdirSync(trees.rest);
  for (const tar of tars) shell('tar -xf "$1" -C "$2"', tar, trees.rest);
  shell(
    'cd "$1" && tar -cf - --no-recursion -T "$3" | tar -xf - -C "$2" && xargs -d "\\n" rm < "$3"',
    trees.rest,
    trees.kept,
    list,
  );
  shell('tar -cf "$1" -C "$2" .', join(root, 'kept.tar'), trees.kept);
  const recompress = timed(() => shell('gzip -n < "$1" > "$1.gz"', join(root, 'kept.tar')));
  const overlay = join(root, 'rest.squashfs');
  const mksquashfs = timed(() => {
    execFileSync('mksquashfs', [trees.rest, overlay, '-quiet', '-no-progress', ...compression]);
  });
  const overlayBytes = statSync(overlay).size;
  rmSync(root, { recursive: true });
  return {
    decompress,
    recompress,
    mksquashfs,
    total: decompress + recompress + mksquashfs,
    overlayBytes,
  };
}

function shell(script: string, ...args: (string | undefined)[]): void {
  execFileSync('bash', ['-euc', script, 'bash', ...args.map((arg) => arg ?? '')]);
}

function timed(work: () => void): number {
  const startedAt = performance.now();
  work();
  return (performance.now() - startedAt) / 1000;
}

function sha256Of(file: string): string {
  return execFileSync('sha256sum', [file]).toString().slice(0, 64);
}

/** The largest resident size that a child process of `parent` reaches, megabytes. */
function watchTools(parent: number): { stop: () => number } {
  let peak = 0;
  const timer = setInterval(() => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const status = existsSync(`/proc/${pid}/status`) ? readStatus(pid) : '';
      if (Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) !== parent) continue;
      peak = Math.max(peak, Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024);
    }
  }, 500);
  return {
    stop: () => {
      clearInterval(timer);
      return Math.round(peak);
    },
  };
}

function readStatus(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return ''; // it ended
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
