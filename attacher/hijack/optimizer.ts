import { setFlagsFromString } from 'node:v8';

/** How many want it to rest. */
let resting = 0;

/**
 * Have V8's optimizing compiler rest, in all threads of ours, until `resumeOptimizer`. It works beside
 * us, on a processor that a thread of the hypervisor may wait for, and what it makes of code that has
 * just been rehearsed is often thrown away in the first earnest run.
 */
export function restOptimizer(): void {
  if (resting++ === 0) setFlagsFromString('--no-opt');
}

/** Once for each `restOptimizer`. */
export function resumeOptimizer(): void {
  if (--resting === 0) setFlagsFromString('--opt');
}

/** Do something, its rehearsal and the earnest run, while it rests. */
export async function whileOptimizerRests<T>(act: () => Promise<T>): Promise<T> {
  restOptimizer();
  try {
    return await act();
  } finally {
    resumeOptimizer();
  }
}
