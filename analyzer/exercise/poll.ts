import { setTimeout as delay } from 'node:timers/promises';

/**
 * Ask `attempt` until it answers something other than undefined, at first every 30 ms, later every
 * half second; undefined once `timeout` seconds are over.
 */
export async function poll<T>(
  attempt: () => Promise<T | undefined>,
  { timeout, signal }: { timeout: number; signal: AbortSignal },
): Promise<T | undefined> {
  const deadline = performance.now() + timeout * 1000;
  for (let pause = 30; ; pause = Math.min(pause * 1.5, 500)) {
    signal.throwIfAborted();
    const answer = await attempt();
    if (answer !== undefined) return answer;
    if (performance.now() + pause > deadline) return undefined;
    await delay(pause, undefined, { signal });
  }
}
