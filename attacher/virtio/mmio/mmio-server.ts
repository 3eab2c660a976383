import { Worker } from 'node:worker_threads';
import { DebloatError } from '../../../analyzer/errors.js';
import { closeDescriptor, createEvent, signalEvent } from '../../../native/linux/event.js';
import { Statistics, type Counter } from '../block/statistics.js';
import type {
  EndReason,
  MmioFacts,
  MmioOptions,
  MmioReport,
  WorkerMessage,
  WorkerOptions,
} from './worker-protocol.js';

/** A disk that is served through a window of shared memory, by a thread of its own. */
export class MmioServer {
  /** Settles when serving has ended, with all that was under way finished. */
  readonly ended: Promise<MmioReport>;
  readonly #statistics: Statistics;
  readonly #stop: number;
  #running = true;

  private constructor(
    worker: Worker,
    stop: number,
    statistics: Statistics,
    readonly facts: MmioFacts,
  ) {
    this.#stop = stop;
    this.#statistics = statistics;
    let reason: EndReason = 'stopped';
    // The thread waits in a system call: process.exit() would wait for it for ever.
    const wake = () => this.stop();
    process.once('exit', wake);
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'ended') reason = message.reason;
    });
    this.ended = new Promise<MmioReport>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('exit', () => resolve({ reason, statistics: statistics.read() }));
    }).finally(() => {
      this.#running = false;
      process.off('exit', wake);
      closeDescriptor(stop);
    });
  }

  /**
   * Open the disk and set up the window, or take it over; resolves when a driver may look at it.
   * Throws DebloatError where the disk cannot be served. `log` is called with each line there is.
   */
  static async start(options: MmioOptions, log: (line: string) => void): Promise<MmioServer> {
    const stop = createEvent();
    const statistics = new Statistics();
    const workerData: WorkerOptions = { ...options, stop, statistics: statistics.shared };
    try {
      const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData });
      const facts = await ready(worker, log);
      return new MmioServer(worker, stop, statistics, facts);
    } catch (error) {
      closeDescriptor(stop);
      throw error;
    }
  }

  /** What was counted until now. */
  statistics(): Record<Counter, number> {
    return this.#statistics.read();
  }

  /** End: what is under way is finished first. `ended` says when. The window stays as it is. */
  stop(): void {
    if (this.#running) signalEvent(this.#stop);
  }
}

async function ready(worker: Worker, log: (line: string) => void): Promise<MmioFacts> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.on('message', (message: WorkerMessage) => {
      switch (message.kind) {
        case 'ready':
          worker.off('error', reject);
          resolve(message.facts);
          break;
        case 'log':
          log(message.line);
          break;
        case 'failed':
          reject(new DebloatError(message.message, message.hint ? { hint: message.hint } : {}));
          break;
        case 'ended':
      }
    });
  });
}
