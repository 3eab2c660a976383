import { describe, expect, it } from 'vitest';
import { rawRecord } from '../../test/support/raw-trace.js';
import type { Digest } from '../image/types.js';
import { hasConverged, mergeTraces, traceFromRun } from './trace.js';

const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;

function traceOf(records: string[], config = 'a') {
  return traceFromRun(
    {
      records: records.map(rawRecord),
      events: records.length,
      unreadable: new Map([['httpd', 2]]),
    },
    {
      image: { reference: 'nginx:1', configDigest: digest(config) },
      startedAt: '2024-01-01T00:00:00.000Z',
      seconds: 1.5,
      runtime: 'runc 1.1',
      exitCode: 0,
    },
  );
}

describe('traceFromRun', () => {
  it('gathers the uses of a path under the first program of each kind', () => {
    const trace = traceOf(['stat /a sh', 'open /a cat', 'open /a tail', 'stat /none sh missing']);
    expect(trace.paths).toEqual({ '/a': { access: { stat: 'sh', open: 'cat' }, runs: 1 } });
    expect(trace.missing).toEqual({ '/none': 'sh' });
    expect(trace.runs).toEqual([
      {
        startedAt: '2024-01-01T00:00:00.000Z',
        seconds: 1.5,
        runtime: 'runc 1.1',
        exitCode: 0,
        events: 4,
        unreadable: { httpd: 2 },
        newPaths: 1,
      },
    ]);
  });

  it.each([
    [['write /f sh created', 'open /f cat'], true],
    [['stat /f sh missing', 'stat /f sh found'], true],
    [['open /f sh found', 'change /f rm found', 'write /f sh created'], undefined],
  ])('%j: created is %s', (records, created) => {
    const trace = traceOf(records);
    expect(trace.paths['/f']?.created).toBe(created);
    expect(trace.missing).toEqual({});
    expect(trace.runs[0]?.newPaths).toBe(created === true ? 0 : 1);
  });

  it('sorts paths, so that equal use gives an equal trace', () => {
    expect(Object.keys(traceOf(['open /b', 'open /a', 'open /B']).paths)).toEqual([
      '/B',
      '/a',
      '/b',
    ]);
  });

  it('tells lost records', () => {
    const raw = { records: [], events: 0, unreadable: new Map(), lost: 3 };
    const { runs } = traceFromRun(raw, {
      image: { reference: 'x', configDigest: digest('a') },
      startedAt: '',
      seconds: 0,
      runtime: '',
    });
    expect(runs[0]?.lost).toBe(3);
  });
});

describe('mergeTraces', () => {
  it('unites paths and runs and counts what each run added', () => {
    const merged = mergeTraces([
      traceOf(['open /a sh']),
      traceOf(['exec /a x', 'open /b y', 'write /tmp/1 y created']),
    ]);
    expect(merged.paths).toEqual({
      '/a': { access: { open: 'sh', exec: 'x' }, runs: 2 },
      '/b': { access: { open: 'y' }, runs: 1 },
      '/tmp/1': { access: { write: 'y' }, runs: 1, created: true },
    });
    expect(merged.runs.map((run) => run.newPaths)).toEqual([1, 1]);
  });

  it('does not call missing or created what one run found', () => {
    const merged = mergeTraces([
      traceOf(['open /a sh missing', 'open /n sh missing', 'write /c sh created']),
      traceOf(['open /a sh', 'open /c sh']),
    ]);
    expect(merged.missing).toEqual({ '/n': 'sh' });
    expect(merged.paths['/c']?.created).toBeUndefined();
    expect(merged.paths['/c']?.runs).toBe(2);
  });

  it('has converged when the last of several runs added nothing but files of its own', () => {
    const one = traceOf(['open /a']);
    expect(hasConverged(one)).toBe(false);
    expect(hasConverged(mergeTraces([one, traceOf(['open /a', 'write /tmp/x y created'])]))).toBe(
      true,
    );
    expect(hasConverged(mergeTraces([one, traceOf(['open /b'])]))).toBe(false);
  });

  it('merges merged traces', () => {
    const later = mergeTraces([traceOf(['open /b']), traceOf(['open /c'])]);
    const merged = mergeTraces([traceOf(['open /a', 'open /b']), later]);
    expect(merged.runs.map((run) => run.newPaths)).toEqual([2, 1, 0]);
  });

  it('refuses none, and traces of different images unless told', () => {
    expect(() => mergeTraces([])).toThrow('there is no trace');
    const two = [traceOf(['open /a'], 'a'), traceOf(['open /b'], 'b')];
    expect(() => mergeTraces(two)).toThrow('different images');
    expect(Object.keys(mergeTraces(two, { anyImage: true }).paths)).toEqual(['/a', '/b']);
  });
});
