import type { Counter } from '../block/statistics.js';
import type { DiskOptions } from '../disk/open-disk.js';
import { ServingThread } from '../serving-thread.js';
import { closeListener, openListener } from './listening-socket.js';
import type { ServedFacts, WorkerOptions } from './worker-protocol.js';

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

/** A disk being served to vhost-user clients, by a thread of its own. */
export class Server {
  /** Settles when serving has ended: told to, or failed. */
  readonly ended: Promise<void>;
  readonly #thread: ServingThread<ServedFacts, 'stopped'>;

  private constructor(thread: ServingThread<ServedFacts, 'stopped'>, closed: () => void) {
    this.#thread = thread;
    this.ended = thread.ended.then(() => undefined).finally(closed);
  }

  /** Open the image and the socket; resolves when clients can connect. Throws DebloatError. */
  static async start({ socket, log, ...options }: ServerOptions): Promise<Server> {
    const listener = openListener(socket);
    const closed = () => closeListener(socket, listener);
    const script = new URL('./worker.js', import.meta.url);
    const workerOptions: WorkerOptions = { ...options, listener };
    try {
      return new Server(await ServingThread.start(script, workerOptions, log), closed);
    } catch (error) {
      closed();
      throw error;
    }
  }

  get facts(): ServedFacts {
    return this.#thread.facts;
  }

  /** What was counted until now. */
  statistics(): Record<Counter, number> {
    return this.#thread.statistics();
  }

  /** End: what is under way is finished first. `ended` says when. */
  stop(): void {
    this.#thread.stop();
  }
}
