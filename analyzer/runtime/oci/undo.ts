import { DebloatError, messageOf } from '../../errors.js';

/** Things to undo, newest first; each is undone even if another cannot be. */
export class Undo {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.#steps.unshift(step);
  }

  async all(): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps.splice(0)) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) {
      throw new DebloatError(`cannot clean up after the container: ${messageOf(failures[0])}`);
    }
  }
}
