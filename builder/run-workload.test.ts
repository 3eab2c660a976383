import { describe, expect, it } from 'vitest';
import { workloadFailure, type RunResult } from './run-workload.js';

const failed: RunResult = {
  outcomes: [],
  ready: '',
  failure: 'the workload ended with exit code 9 before it could be used',
  trace: {
    schemaVersion: 1,
    image: { reference: 'docker://x:1', configDigest: `sha256:${'0'.repeat(64)}` },
    runs: [],
    paths: {},
    missing: {},
  },
  logs: 'one\ncat: /root-only: Permission denied\n',
  warnings: [],
};

describe('workloadFailure', () => {
  it('tells the last words of the workload', () => {
    const error = workloadFailure('original', failed);
    expect(error.message).toBe(`on the original image ${failed.failure}`);
    expect(error.hint).toMatch(/last words:\s+one\s+cat: \/root-only: Permission denied$/);
  });

  it('tells first what tracing itself may have broken', () => {
    const warning = '/bin/su ran without the setuid bit';
    const error = workloadFailure('original', { ...failed, warnings: [warning] });
    expect(error.hint?.startsWith(`${warning}\n`)).toBe(true);
    expect(error.hint).toContain('Permission denied');
  });
});
