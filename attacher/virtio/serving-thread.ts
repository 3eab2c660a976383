import { parentPort, Worker } from 'node:worker_threads';
import { DebloatError } from '../../analyzer/errors.js';
import { closeDescriptor, createEvent, signalEvent } from '../../native/linux/event.js';
import { Statistics, type Counter } from './block/statistics.js';

/** What a thread that serves a disk tells. It can tell while it waits, but not be told: `stop` does that. */
type ThreadMessage<Facts, End> =
  | { kind: 'ready'; facts: Facts }
  | { kind: 'log'; line: string }
  | { kind: 'failed'; message: string; hint: string | undefined }
  | { kind: 'ended'; end: End };

/** What the thread is started with beside its own options: the eventfd that ends it, the statistics' memory. */
export interface ThreadOptions {
  stop: number;
  statistics: SharedArrayBuffer;
}

/** What the thread can tell. */
export interface Telling<Facts> {
  /** From now on the disk is served. */
  ready: (facts: Facts) => void;
  log: (line: string) => void;
}

/**
 * A thread that serves one disk. It waits in epoll, so it has nothing to do with the main thread's
 * events; the main thread starts it, ends it, and reads what it counts.
 */
export class ServingThread<Facts, End> {
  /** Settles when serving has ended, with all that was under way finished; rejects where it failed. */
  readonly ended: Promise<End>;
  readonly #statistics: Statistics;
  readonly #stop: number;
  #running = true;

  private constructor(
    ended: Promise<End>,
    stop: number,
    statistics: Statistics,
    readonly facts: Facts,
  ) {
    this.#stop = stop;
    this.#statistics = statistics;
    // The thread waits in a system call: process.exit() would wait for it for ever.
    const wake = () => this.stop();
    process.once('exit', wake);
    this.ended = ended.finally(() => {
      this.#running = false;
      process.off('exit', wake);
      closeDescriptor(stop);
    });
  }

  /**
   * Start `script` with `options` (it calls `serveInThread`); resolves when it tells that it is ready.
   * Throws DebloatError where it cannot serve. `log` is called with each line there is.
   */
  static async start<Facts, End>(
    script: URL,
    options: object,
    log: (line: string) => void,
  ): Promise<ServingThread<Facts, End>> {
    const stop = createEvent();
    const statistics = new Statistics();
    const added: ThreadOptions = { stop, statistics: statistics.shared };
    try {
      const worker = new Worker(script, { workerData: { ...options, ...added } });
      const ended = endOf<End>(worker);
      const facts = await Promise.race([readiness<Facts>(worker, log), ended.then(neverReady)]);
      return new ServingThread(ended, stop, statistics, facts);
    } catch (error) {
      closeDescriptor(stop);
      throw error;
    }
  }

  /** What was counted until now. */
  statistics(): Record<Counter, number> {
    return this.#statistics.read();
  }

  /** End: what is under way is finished first. `ended` says when. */
  stop(): void {
    if (this.#running) signalEvent(this.#stop);
  }
}

/** The thread's side: `serve`, with what it was started with in `workerData`, and tell what comes of it. */
export async function serveInThread<Facts, End>(
  serve: (tell: Telling<Facts>) => End | Promise<End>,
): Promise<void> {
  const post = (message: ThreadMessage<Facts, End>) => parentPort?.postMessage(message);
  try {
    const end = await serve({
      ready: (facts) => post({ kind: 'ready', facts }),
      log: (line) => post({ kind: 'log', line }),
    });
    post({ kind: 'ended', end });
  } catch (error) {
    if (!(error instanceof DebloatError)) throw error;
    post({ kind: 'failed', message: error.message, hint: error.hint });
  }
}

async function readiness<Facts>(worker: Worker, log: (line: string) => void): Promise<Facts> {
  return new Promise((resolve) => {
    worker.on('message', (message: ThreadMessage<Facts, unknown>) => {
      if (message.kind === 'log') log(message.line);
      else if (message.kind === 'ready') resolve(message.facts);
    });
  });
}

async function endOf<End>(worker: Worker): Promise<End> {
  return new Promise((resolve, reject) => {
    let settle = () => reject(new Error('a serving thread ended without a word'));
    worker.once('error', reject);
    worker.on('message', (message: ThreadMessage<unknown, End>) => {
      if (message.kind === 'ended') settle = () => resolve(message.end);
      else if (message.kind === 'failed') {
        const { message: text, hint } = message;
        settle = () => reject(new DebloatError(text, hint === undefined ? {} : { hint }));
      }
    });
    worker.once('exit', () => settle());
  });
}

function neverReady(): never {
  throw new Error('a serving thread ended before it served');
}
