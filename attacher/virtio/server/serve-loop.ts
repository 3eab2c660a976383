import { closeDescriptor } from '../../../native/linux/event.js';
import { Epoll } from '../../../native/linux/epoll.js';
import { acceptFrom } from '../../../native/linux/unix-socket.js';
import { BlockDevice } from '../block/block-device.js';
import { encodeConfig } from '../block/config-space.js';
import { Count, type Statistics } from '../block/statistics.js';
import type { Disk } from '../disk/disk.js';
import type { IoEngine } from '../disk/io-engine.js';
import { MappedMemory } from '../memory/mapped-memory.js';
import { QueueViolation } from '../queue/violation.js';
import { Backend } from '../vhost-user/backend.js';
import { Connection } from '../vhost-user/connection.js';
import { Patience } from './patience.js';
import type { Vring } from '../vhost-user/vring.js';

/** What became ready: one of these, or a queue’s kick from `queues` on. */
const Token = { stop: 0, listener: 1, control: 2, engine: 3, queues: 16 };

/**
 * Requests, and bytes of them, that are taken from a queue before they are carried out and shown to
 * the driver: few, so that the driver goes on with these while we do with the next. Fewest when its
 * queue was empty before, for then it may be asleep, and takes long to wake up; and next to none
 * while the medium is at work, for what it has done meanwhile is to be told.
 */
const turnLimit = { first: 8, later: 16, slow: 2 };
const turnBytes = 2 ** 16;
/** Turns of the queues before the control socket has its turn. */
const roundLimit = 128;

export interface ServeOptions {
  disk: Disk;
  engine: IoEngine;
  queues: number;
  /** What the guest sees as the disk’s serial. */
  id: string;
  /** Listening socket, and an eventfd that ends the loop; both stay the caller’s. */
  listener: number;
  stop: number;
  statistics: Statistics;
  log: (line: string) => void;
}

/**
 * Serves one disk to one vhost-user client after another. All that can happen is waited for in one
 * place, so an idle server costs nothing and nothing is ever locked.
 */
export class ServeLoop {
  readonly #options: ServeOptions;
  readonly #epoll = new Epoll();
  readonly #memory = new MappedMemory();
  readonly #device: BlockDevice;
  readonly #config: Uint8Array;
  #connection: Connection | undefined;
  #vrings: readonly Vring[] = [];
  #backlog = false;
  readonly #patience = new Patience();
  readonly #anyAvailable = () => {
    let any = false;
    for (const vring of this.#vrings) {
      if (vring.queue?.look('ever') === true) any = vring.pending = true;
    }
    return any;
  };

  constructor(options: ServeOptions) {
    const { disk, engine, queues, statistics, id } = options;
    this.#options = options;
    this.#device = new BlockDevice({ disk, engine, memory: this.#memory, statistics, id });
    this.#config = encodeConfig({ sectors: disk.sectors, blockSize: 512, queues });
    this.#epoll.add(options.stop, Token.stop, { edge: false });
    this.#epoll.add(options.listener, Token.listener, { edge: false });
    if (engine.fd !== undefined) this.#epoll.add(engine.fd, Token.engine, { edge: false });
  }

  /**
   * Wait, at most `timeout` milliseconds (−1: for ever), and do all there is to do; false when told
   * to stop. A client that has gone leaves the memory it shared to the garbage collector: let the
   * event loop run now and then.
   */
  turn(timeout: number): boolean {
    const ready = this.#epoll.wait(this.#backlog ? 0 : timeout);
    this.#backlog = false;
    // Interrupted: by what io_uring has to do on our behalf, more often than not.
    if (ready === 0) this.#device.progress({ collect: true });
    for (let n = 0; n < ready; n++) {
      const token = this.#epoll.token(n);
      if (token === Token.stop) return false;
      if (token >= Token.queues) this.#notified(token - Token.queues);
      else if (token === Token.engine) this.#device.progress({ collect: true });
      else if (token === Token.control) this.#control();
      else this.#accept();
    }
    this.#serveQueues();
    return true;
  }

  /** Whether a client is connected. */
  get connected(): boolean {
    return this.#connection !== undefined;
  }

  close(): void {
    this.#disconnect();
    this.#device.drain();
    this.#options.engine.close();
    this.#options.disk.close();
    this.#epoll.close();
  }

  #notified(index: number): void {
    const vring = this.#vrings[index];
    if (vring) vring.pending = true;
    this.#options.statistics.add(Count.notifications, 1);
  }

  #serveQueues(): void {
    for (let round = 0; round < roundLimit; round++) {
      let again = false;
      for (const vring of this.#vrings) if (vring.pending) again = this.#accepted(vring) || again;
      this.#device.progress();
      for (const vring of this.#vrings) this.#publish(vring);
      if (!again && !this.#moreCame()) return;
    }
    this.#backlog = true;
  }

  /** Queues were found empty: true if one no longer is, now or in a moment; else all ask to be notified. */
  #moreCame(): boolean {
    if (!this.#vrings.some((vring) => vring.pending && vring.emptied)) return false;
    // What is under way tells by itself when it is done, and that may take long.
    if (!this.#device.busy && this.#patience.waitFor(this.#anyAvailable)) return true;
    let more = false;
    for (const vring of this.#vrings) {
      if (!vring.pending || !vring.emptied) continue;
      vring.pending = vring.queue?.arm() ?? false;
      more ||= vring.pending;
    }
    return more;
  }

  /** Take from a queue; true if there is more to take at once. */
  #accepted(vring: Vring): boolean {
    const { queue } = vring;
    if (queue === undefined) return (vring.pending = false);
    try {
      queue.disarm();
      const calm = vring.emptied ? turnLimit.first : turnLimit.later;
      const limit = this.#options.engine.slow ? turnLimit.slow : calm;
      vring.emptied = false;
      switch (this.#device.accept(queue, limit, turnBytes)) {
        case 'limit':
          return true;
        case 'full':
          return false; // a completion brings us back here
        case 'empty':
          vring.emptied = true;
          return false;
      }
    } catch (error) {
      if (!(error instanceof QueueViolation)) throw error;
      this.#broken(vring, error);
      return false;
    }
  }

  #publish(vring: Vring): void {
    if (vring.queue?.publish() !== true) return;
    vring.interrupt();
    this.#options.statistics.add(Count.interrupts, 1);
  }

  #broken(vring: Vring, violation: QueueViolation): void {
    this.#options.log(`queue ${vring.index} stopped: ${violation.message}`);
    this.#options.statistics.add(Count.violations, 1);
    this.#device.drain();
    this.#publish(vring);
    vring.broken = true;
    vring.stop();
    vring.signalError();
  }

  #accept(): void {
    const fd = acceptFrom(this.#options.listener);
    if (fd === undefined) return;
    if (this.#connection) {
      this.#options.log('a second client was turned away: the disk has one already');
      closeDescriptor(fd);
      return;
    }
    const backend = new Backend({
      device: this.#device,
      memory: this.#memory,
      queues: this.#options.queues,
      config: this.#config,
      watch: (vring) =>
        vring.kick !== undefined &&
        this.#epoll.add(vring.kick, Token.queues + vring.index, { edge: true }),
      unwatch: (vring) => vring.kick !== undefined && this.#epoll.remove(vring.kick),
      notThere: (vring, violation) =>
        this.#options.log(
          `queue ${vring.index} rests: ${violation.message} (is the machine’s memory shared?)`,
        ),
    });
    this.#connection = new Connection(fd, backend, this.#options.log);
    this.#vrings = backend.vrings;
    this.#epoll.add(fd, Token.control, { edge: false });
    this.#options.statistics.add(Count.connections, 1);
    this.#options.log('client connected');
  }

  #control(): void {
    if (this.#connection?.receive() === false) this.#disconnect();
  }

  #disconnect(): void {
    if (this.#connection === undefined) return;
    this.#epoll.remove(this.#connection.fd);
    this.#connection.close();
    this.#connection = undefined;
    this.#vrings = [];
    this.#options.log('client gone');
  }
}
