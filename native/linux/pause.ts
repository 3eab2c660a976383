import { integer } from './integers.js';
import { bindRaw } from './libc.js';

const rawUsleep = bindRaw('int usleep(uint)');
const rawPrctl = bindRaw('int prctl(int, uint64)');

const PR_SET_TIMERSLACK = 29;
let exact = false;

/** Sleep for so many microseconds, this thread with all it does: for waits that are shorter than a timer's. */
export function pause(microseconds: number): void {
  // Else the kernel may add 50 µs to each.
  if (!exact) rawPrctl(PR_SET_TIMERSLACK, 1);
  exact = true;
  rawUsleep(integer('microseconds', microseconds, 0, 999_999));
}
