/**
 * How long to wait before the next look at what tells of nothing by itself, in milliseconds, when
 * nothing came for so long: what comes then waits for a fiftieth of that at most, and who waits long
 * looks seldom.
 */
export function pauseAfter(silence: number, longest: number): number {
  return Math.min(longest, Math.max(1, silence / 50));
}
