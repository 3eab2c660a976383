import { execFileSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compileClient, withDebianLibraries } from '../support/blkio.js';
import { serveImage, stopServing } from '../support/serving.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-serve-client-'));
const size = 4 * 2 ** 20;
let client: string;
let server: ChildProcess | undefined;

beforeAll(() => {
  client = compileClient('verify', directory);
});
afterAll(() => {
  server?.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

// libblkio knows nothing of us: its headers and buffers are unaligned, its memory is added after the start.
it.each([
  ['a writable file', []],
  ['a session', ['--cow', join(directory, 'session')]],
])('libblkio reads from %s what it wrote', async (_, args) => {
  const image = join(directory, 'image');
  execFileSync('sh', ['-c', `head -c ${size} /dev/urandom >${image}`]);
  const before = readFileSync(image);
  server = await serveImage(image, join(directory, 'socket'), args);
  const [file, all] = withDebianLibraries(client, [join(directory, 'socket'), '3000']);
  const wanted = execFileSync(file, all, { maxBuffer: 2 * size, timeout: 60_000 });
  expect(wanted).toHaveLength(size);
  const counted = await stopServing(server);
  expect(counted).toMatchObject({ violations: 0, connections: 1 });
  expect(counted['failures']).toBeLessThanOrEqual(1); // the one beyond the end, if it is asked for
  expect(readFileSync(image).equals(args.length > 0 ? before : wanted)).toBe(true);
});
