import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { pauseAfter } from '../pause.js';
import type { Channel } from './channel.js';
import type { GuestChannel } from './guest-channel.js';

/** Between attempts to write into a ring that is full, in milliseconds. */
const pause = 1;
/** Between looks when nothing came for long, at most, in milliseconds. */
const longestPause = 50;
/** The answer to a key, which has so many bytes at most, is looked for more often for a while, in milliseconds. */
const key = { bytes: 64, pause: 0.1, attention: 4 };
/** How often the guest is asked whether it is still the one that was attached to, in milliseconds. */
const healthInterval = 500;
/** How long stage 2 may take to go when it was hung up, in milliseconds. */
const hangUpPatience = 5000;

/** How long a guest that wrote nonsense may prove to have been started anew, in milliseconds. */
const verdictPatience = 20_000;

async function staysAlive(isAlive: () => boolean): Promise<boolean> {
  const end = performance.now() + verdictPatience;
  while (isAlive()) {
    if (performance.now() > end) return true;
    await sleep(healthInterval);
  }
  return false;
}

const nobody = new Int32Array(new SharedArrayBuffer(4));

/** The shortest sleep: a timer's is a millisecond at least, and not to sleep at all takes the guest's processor time. */
function doze(): void {
  Atomics.wait(nobody, 0, 0, key.pause);
}

/** Rings as a channel: they tell of nothing by themselves, so they are looked at, as long as `isAlive`. */
export function polledChannel(rings: GuestChannel, isAlive: () => boolean): Channel {
  let last: Promise<void> = Promise.resolve();
  let checked = performance.now();
  let closedAt: number | undefined;
  let over = false;
  let attentiveUntil = 0;
  let lastSeen = performance.now();
  /** Ends a pause, for an answer is expected. */
  let wake = () => {};
  const untilWritten = (milliseconds: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const rest = async () => {
    const now = performance.now();
    if (now > attentiveUntil) return untilWritten(pauseAfter(now - lastSeen, longestPause));
    doze();
    return nextTurn();
  };
  const isOver = (): boolean => {
    if (over) return true;
    const now = performance.now();
    if (now - checked > healthInterval) {
      checked = now;
      over = !isAlive();
    }
    if (closedAt !== undefined && now - closedAt > hangUpPatience) over = true;
    return over;
  };
  const writeAll = async (bytes: Uint8Array): Promise<void> => {
    for (let left = bytes; left.length > 0 && closedAt === undefined && !isOver();) {
      left = left.subarray(rings.write(left));
      if (left.length > 0) await sleep(pause);
    }
    lastSeen = performance.now();
    wake();
    if (bytes.length <= key.bytes) attentiveUntil = lastSeen + key.attention;
  };
  return {
    write(bytes) {
      // Frames must not be mixed: each write waits for the one before.
      last = last.then(() => writeAll(bytes)).catch(() => undefined);
      return last;
    },
    async read() {
      for (;;) {
        let bytes: Uint8Array;
        try {
          bytes = rings.read();
        } catch (error) {
          // The memory went with the hypervisor, or another kernel uses it: that takes a while to show.
          if (await staysAlive(isAlive)) throw error;
          over = true;
          return undefined;
        }
        if (bytes.length > 0) {
          lastSeen = performance.now();
          return bytes;
        }
        if (rings.ended) over = true;
        if (isOver()) return undefined;
        await rest();
      }
    },
    close() {
      if (closedAt !== undefined) return;
      closedAt = performance.now();
      if (!over) rings.hangUp();
    },
  };
}
