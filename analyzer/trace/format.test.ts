import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DebloatError } from '../errors.js';
import { formatTrace, parseTrace, readTrace, writeTrace } from './format.js';
import type { Trace } from './types.js';

const trace: Trace = {
  schemaVersion: 1,
  image: { reference: 'nginx:1', configDigest: `sha256:${'0'.repeat(64)}` },
  runs: [
    {
      startedAt: '2024-01-01T00:00:00.000Z',
      seconds: 2,
      runtime: 'runc',
      events: 3,
      unreadable: { httpd: 1 },
      newPaths: 1,
    },
  ],
  paths: { '/caf\udce9': { access: { open: 'sh', exec: 'sh' }, runs: 1, created: true } },
  missing: { '/none \u{1f600}': 'sh' },
};

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'debloat-format-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe('the trace file', () => {
  it('comes back as it was written, bytes that are not UTF-8 too, and leaves nothing else', async () => {
    const file = join(dir, 'trace.json');
    await writeTrace(file, trace);
    expect(await readTrace(file)).toEqual(trace);
    expect(await readdir(dir)).toEqual(['trace.json']);
  });

  it('says what is wrong with a file that cannot be read or written', async () => {
    await expect(readTrace(join(dir, 'none'))).rejects.toThrow(/cannot read the trace .*ENOENT/);
    await expect(writeTrace(join(dir, 'no/trace.json'), trace)).rejects.toThrow(
      /cannot write the trace .*ENOENT/,
    );
    await writeFile(join(dir, 'not-json'), '{');
    await expect(readTrace(join(dir, 'not-json'))).rejects.toThrow(/it is not JSON/);
  });

  const broken = (change: object) => JSON.stringify({ ...trace, ...change });
  it.each([
    ['another version', broken({ schemaVersion: 2 }), 'schemaVersion'],
    ['no image', broken({ image: undefined }), 'image'],
    [
      'a bad digest',
      broken({ image: { reference: 'x', configDigest: 'md5:1' } }),
      'image.configDigest',
    ],
    ['a relative path', broken({ paths: { a: { access: {}, runs: 1 } } }), 'paths.a'],
    ['a climbing path', broken({ missing: { '/a/../b': 'sh' } }), 'missing'],
    [
      'an unknown kind',
      broken({ paths: { '/a': { access: { sniff: 'sh' }, runs: 1 } } }),
      'paths./a',
    ],
    ['a negative count', broken({ paths: { '/a': { access: {}, runs: -1 } } }), 'paths./a.runs'],
    ['an array', '[]', 'object'],
  ])('refuses %s and says where', (_, text, where) => {
    let error: unknown;
    try {
      parseTrace(text, 't.json');
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(DebloatError);
    expect((error as DebloatError).message).toContain('t.json is not a trace');
    expect((error as DebloatError).message).toContain(where);
  });

  it('passes over fields that a newer version may add', () => {
    expect(parseTrace(broken({ later: true }), 't.json')).toEqual(trace);
  });

  it('is readable line by line', () => {
    expect(formatTrace(trace).split('\n').length).toBeGreaterThan(10);
  });
});
