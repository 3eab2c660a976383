import { describe, expect, it } from 'vitest';
import type { ExercisePlan } from '../analyzer/exercise/types.js';
import { verificationPlan } from './verify.js';

const plan: ExercisePlan = {
  probes: [
    { kind: 'http', path: '/' },
    { kind: 'http', path: '/x', expect: '2xx' },
    { kind: 'tcp', port: 1 },
  ],
  continueAfter: { kind: 'probes' },
  timeout: 9,
};

describe('verificationPlan', () => {
  it('wants of each HTTP probe the status that the original gave', () => {
    const outcomes = plan.probes.map((probe) => ({
      probe,
      ok: true,
      detail: '',
      seconds: 0,
      status: 404,
    }));
    expect(verificationPlan(plan, outcomes).probes).toEqual([
      { kind: 'http', path: '/', expect: '404' },
      { kind: 'http', path: '/x', expect: '2xx' },
      { kind: 'tcp', port: 1 },
    ]);
  });

  it('probes what was probed by default, too', () => {
    const outcomes = [
      { probe: { kind: 'tcp', port: 80 } as const, ok: true, detail: '', seconds: 0 },
    ];
    expect(verificationPlan({ ...plan, probes: [] }, outcomes).probes).toEqual([
      { kind: 'tcp', port: 80 },
    ]);
  });

  it('takes no error status where the original was not run', () => {
    expect(verificationPlan(plan, []).probes[0]).toEqual({
      kind: 'http',
      path: '/',
      expect: '2xx-3xx',
    });
  });
});
