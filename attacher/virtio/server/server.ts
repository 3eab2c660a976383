import { Worker } from 'node:worker_threads';
import { DebloatError } from '../../../analyzer/errors.js';
import { closeDescriptor, createEvent, signalEvent } from '../../../native/linux/event.js';
import { Statistics, type Counter } from '../block/statistics.js';
import type { DiskFacts, DiskOptions } from '../disk/open-disk.js';
import { closeListener, openListener } from './listening-socket.js';
import type { WorkerMessage, WorkerOptions } from './worker-protocol.js';

export interface ServerOptions {
  disk: DiskOptions;
  /** Path of the Unix socket that clients connect to. */
  socket: string;
  /** How many queues a client may use. */
  queues: number;
  /** The disk's serial in the guest; 20 bytes count. */
  id: string;
  /** Called with each line there is to tell. */
  log: (line: string) => void;
}

/** A disk being served by a thread of its own. */
export class Server {
  /** Settles when serving has ended: told to, or failed. */
  readonly ended: Promise<void>;
  readonly #statistics: Statistics;
  readonly #stop: number;
  #running = true;

  private constructor(
    worker: Worker,
    stop: number,
    statistics: Statistics,
    closed: () => void,
    readonly facts: DiskFacts & { engine: string },
  ) {
    this.#stop = stop;
    this.#statistics = statistics;
    // The thread waits in a system call: process.exit() would wait for it for ever.
    const wake = () => this.stop();
    process.once('exit', wake);
    this.ended = new Promise<void>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('exit', () => resolve());
    }).finally(() => {
      this.#running = false;
      process.off('exit', wake);
      closed();
    });
  }

  /** Open the image and the socket; resolves when clients can connect. Throws DebloatError. */
  static async start(options: ServerOptions): Promise<Server> {
    const listener = openListener(options.socket);
    const stop = createEvent();
    const closed = () => {
      closeListener(options.socket, listener);
      closeDescriptor(stop);
    };
    const statistics = new Statistics();
    const { disk, queues, id } = options;
    const workerData: WorkerOptions = {
      disk,
      queues,
      id,
      listener,
      stop,
      statistics: statistics.shared,
    };
    try {
      const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData });
      const facts = await ready(worker, options.log);
      return new Server(worker, stop, statistics, closed, facts);
    } catch (error) {
      closed();
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

async function ready(
  worker: Worker,
  log: (line: string) => void,
): Promise<DiskFacts & { engine: string }> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.on('message', (message: WorkerMessage) => {
      switch (message.kind) {
        case 'ready':
          worker.off('error', reject);
          resolve({ ...message.disk, engine: message.engine });
          break;
        case 'log':
          log(message.line);
          break;
        case 'failed':
          reject(new DebloatError(message.message, message.hint ? { hint: message.hint } : {}));
          break;
      }
    });
  });
}
