/** How long a guest that runs may be without a beat of the stage's heart, in milliseconds. */
const patience = 15_000;

/**
 * Tells whether the guest is still the one that was attached to: after a restart, or a crash, the
 * stage's heart stands still while the machine runs. (What is in memory may stand for long.)
 */
export class Pulse {
  #last: number | undefined;
  #since = performance.now();
  #stopped = false;

  /** `count` is of the beats; `isRunning` whether the machine runs, for a paused one has no pulse. */
  constructor(
    readonly count: () => number,
    readonly isRunning: () => Promise<boolean>,
  ) {}

  /** Whether it beats, as far as is known by now. */
  get beats(): boolean {
    const count = this.count();
    const now = performance.now();
    if (count !== this.#last) {
      this.#last = count;
      this.#since = now;
      this.#stopped = false;
    } else if (now - this.#since > patience) {
      this.#since = now;
      void this.#ask(count);
    }
    return !this.#stopped;
  }

  async #ask(count: number): Promise<void> {
    if ((await this.isRunning()) && this.count() === count) this.#stopped = true;
  }
}
