import { setTimeout as delay } from 'node:timers/promises';
import type { Container, ExitStatus } from '../runtime/types.js';

/** Knows whether a container has ended, so that nobody waits for something that cannot come. */
export class Ending {
  readonly #container: Container;
  #status: ExitStatus | undefined;
  #reason: unknown;

  constructor(container: Container) {
    this.#container = container;
    container.exited.then(
      (status) => (this.#status = status),
      (error: unknown) => (this.#reason = error ?? new Error('the container is gone')),
    );
  }

  /** How it ended; undefined while it runs. Throws if nobody knows (it was removed, the engine died). */
  ended(): ExitStatus | undefined {
    if (this.#reason !== undefined) throw this.#reason as Error;
    return this.#status;
  }

  /**
   * A request to the container has failed with `error`: perhaps because it had just ended, which may
   * be told a moment later. Returns how it ended; throws `error` if it did not.
   */
  async explains(error: unknown): Promise<ExitStatus> {
    const patience = new AbortController();
    const moment = delay(1000, undefined, { signal: patience.signal }).catch(() => undefined);
    const status = await Promise.race([this.#container.exited, moment]);
    patience.abort();
    if (!status) throw error;
    return status;
  }
}
