import { describe, expect, it } from 'vitest';
import { Patience } from './patience.js';

/** On which of `occasions` it looked at all, when nothing ever comes. */
function looked(patience: Patience, occasions: number): number[] {
  const found: number[] = [];
  for (let n = 0; n < occasions; n++) {
    let looks = 0;
    const came = patience.waitFor(() => looks++ < 0);
    expect(came).toBe(false);
    if (looks > 0) found.push(n);
  }
  return found;
}

describe('patience', () => {
  it('ends as soon as something is there', () => {
    let looks = 0;
    expect(new Patience().waitFor(() => ++looks === 5)).toBe(true);
    expect(looks).toBe(5);
  });

  it('ends without anything after a moment', () => {
    const before = performance.now();
    expect(new Patience().waitFor(() => false)).toBe(false);
    expect(performance.now() - before).toBeLessThan(1000);
  });

  it('wears off when it is in vain, and comes back when it is not', () => {
    const patience = new Patience();
    expect(looked(patience, 200)).toEqual([0, 2, 6, 14, 30, 62, 126, 190]);
    for (let n = 0; !patience.waitFor(() => true); n++) expect(n).toBeLessThan(64);
    expect(patience.waitFor(() => true)).toBe(true);
    expect(looked(patience, 7)).toEqual([0, 2, 6]);
  });
});
