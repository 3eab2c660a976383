/** How long a look for more goes on, in microseconds: less than a sleep and a wake-up take. */
const longest = 10;
/** The most occasions that are let pass after one that was in vain. */
const mostPassed = 63;
/** Looks between two at the clock. */
const looks = 8;

/**
 * Whether to look for more work a little longer before sleeping. A driver that answers at once is
 * met awake, and need not notify; one that does not costs next to nothing: each look that was in
 * vain doubles the number of occasions let pass before the next. Only for right after work.
 */
export class Patience {
  #passing = 0;
  #left = 0;

  /** Look until `found` says true, or for a few microseconds, or not at all; whether it did. */
  waitFor(found: () => boolean): boolean {
    if (this.#left > 0) {
      this.#left--;
      return false;
    }
    const end = performance.now() + longest / 1000;
    do {
      for (let n = 0; n < looks; n++) {
        if (!found()) continue;
        this.#passing = 0;
        return true;
      }
    } while (performance.now() < end);
    this.#passing = Math.min(2 * this.#passing + 1, mostPassed);
    this.#left = this.#passing;
    return false;
  }
}
