import type { Counter } from '../block/statistics.js';
import { ServingThread } from '../serving-thread.js';
import type { EndReason, MmioFacts, MmioOptions, MmioReport } from './worker-protocol.js';

/** A disk that is served through a window of shared memory, by a thread of its own. */
export class MmioServer {
  /** Settles when serving has ended, with all that was under way finished. */
  readonly ended: Promise<MmioReport>;
  readonly #thread: ServingThread<MmioFacts, EndReason>;

  private constructor(thread: ServingThread<MmioFacts, EndReason>) {
    this.#thread = thread;
    this.ended = thread.ended.then((reason) => ({ reason, statistics: thread.statistics() }));
  }

  /**
   * Open the disk and set up the window, or take it over; resolves when a driver may look at it.
   * Throws DebloatError where the disk cannot be served. `log` is called with each line there is.
   */
  static async start(options: MmioOptions, log: (line: string) => void): Promise<MmioServer> {
    const script = new URL('./worker.js', import.meta.url);
    return new MmioServer(await ServingThread.start<MmioFacts, EndReason>(script, options, log));
  }

  get facts(): MmioFacts {
    return this.#thread.facts;
  }

  /** What was counted until now. */
  statistics(): Record<Counter, number> {
    return this.#thread.statistics();
  }

  /** End: what is under way is finished first. `ended` says when. The window stays as it is. */
  stop(): void {
    this.#thread.stop();
  }
}
