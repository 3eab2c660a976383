import { integer } from './integers.js';
import { bindRaw } from './libc.js';

const rawUsleep = bindRaw('int usleep(uint)');

/** Sleep for so many microseconds, this thread with all it does: for waits that are shorter than a timer's. */
export function pause(microseconds: number): void {
  rawUsleep(integer('microseconds', microseconds, 0, 999_999));
}
