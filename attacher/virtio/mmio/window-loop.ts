import { Epoll } from '../../../native/linux/epoll.js';
import { signalEvent } from '../../../native/linux/event.js';
import { BlockDevice } from '../block/block-device.js';
import { Feature, hasFeature } from '../block/protocol.js';
import { Count, type Statistics } from '../block/statistics.js';
import type { Disk } from '../disk/disk.js';
import type { IoEngine } from '../disk/io-engine.js';
import { SplitQueue } from '../queue/split-queue.js';
import { QueueViolation } from '../queue/violation.js';
import type { QueueMemory } from './queue-memory.js';
import type { DeviceWindow } from './window.js';

/** What became ready. */
const Token = { stop: 0, process: 1, notify: 2, status: 3, engine: 4 };

/** Requests taken before those begun are handed on, and rounds before `stop` has its turn. */
const turnLimit = 64;
const roundLimit = 16;

export interface WindowLoopOptions {
  disk: Disk;
  engine: IoEngine;
  /** The guest's memory, and how a ring in it is reached. */
  memory: QueueMemory;
  window: DeviceWindow;
  /** What the guest sees as the disk's serial. */
  id: string;
  /** Eventfds: the driver wrote to QueueNotify, to Status; and the one that ends the loop. */
  notify: number;
  status: number;
  stop: number;
  /** A descriptor of the hypervisor's process. */
  process: number;
  /** The eventfd that interrupts the guest; without one the driver polls. */
  interrupt?: number | undefined;
  statistics: Statistics;
  log: (line: string) => void;
}

/**
 * Serves a disk to a driver behind a passive window. Of what the driver does we learn by doorbells
 * only, and it waits for no answer: it may have reset the device, and taken the queue's memory back,
 * before we hear of it. So the queue is written to only while it has requests that are not given
 * back, and what was read from it counts only if the window still has the queue afterwards. (Linux's
 * driver resets a device when all its requests are answered.)
 */
export class WindowLoop {
  readonly #options: WindowLoopOptions;
  readonly #epoll = new Epoll();
  readonly #device: BlockDevice;
  #queue: SplitQueue | undefined;
  /** Something may be available. */
  #pending = true;
  #backlog = false;
  #gone = false;
  /** The queue in the window was given up. */
  #broken = false;

  constructor(options: WindowLoopOptions) {
    this.#options = options;
    const { disk, engine, memory, statistics, id } = options;
    this.#device = new BlockDevice({ disk, engine, memory: memory.guest, statistics, id });
    this.#epoll.add(options.stop, Token.stop, { edge: false });
    this.#epoll.add(options.process, Token.process, { edge: false });
    this.#epoll.add(options.notify, Token.notify, { edge: true });
    this.#epoll.add(options.status, Token.status, { edge: true });
    if (engine.fd !== undefined) this.#epoll.add(engine.fd, Token.engine, { edge: false });
  }

  /** Features of the device, of which the window offers those that it can. */
  get offered(): bigint {
    return this.#device.offered;
  }

  /** Whether a queue is being served. */
  get running(): boolean {
    return this.#queue !== undefined;
  }

  /** Wait, at most `timeout` milliseconds (−1: for ever), and do all there is to do; says when to end, and why. */
  turn(timeout: number): 'on' | 'stopped' | 'hypervisor gone' {
    const ready = this.#epoll.wait(this.#backlog ? 0 : timeout);
    this.#backlog = false;
    let stopped = false;
    for (let n = 0; n < ready; n++) {
      const token = this.#epoll.token(n);
      if (token === Token.process) {
        this.#gone = true;
        return 'hypervisor gone';
      }
      if (token === Token.stop) stopped = true;
      else if (token === Token.engine) this.#device.progress({ collect: true });
      else this.#pending = true;
      if (token === Token.notify) this.#options.statistics.add(Count.notifications, 1);
    }
    if (stopped) return 'stopped';
    this.#serve();
    return 'on';
  }

  /** Finish what is under way, and close all but what is the caller's. */
  close(): void {
    this.#device.drain();
    const queue = this.#queue;
    if (queue !== undefined && !this.#gone && this.#options.window.isCurrent) {
      this.#guarded(() => this.#settle(queue));
    }
    this.#options.engine.close();
    this.#options.disk.close();
    this.#epoll.close();
  }

  #serve(): void {
    for (let round = 0; round < roundLimit; round++) {
      if (!this.#guarded(() => this.#round(round === 0 ? 'ever' : 'settled'))) return;
    }
    this.#backlog = true;
  }

  /** Take what is there, begin it, and give back what is done; true if there may be more to take. */
  #round(since: 'ever' | 'settled'): boolean {
    const { window } = this.#options;
    if (!window.isCurrent) this.#setUp();
    const queue = this.#queue;
    if (queue === undefined) return false;
    if (this.#pending) {
      this.#pending = queue.look(since);
      if (!window.isCurrent) return true;
    }
    const full = this.#pending && this.#device.accept(queue, turnLimit) === 'full';
    this.#device.progress();
    this.#settle(queue);
    return this.#pending && !full; // a completion brings us back
  }

  #settle(queue: SplitQueue): boolean {
    const wanted = queue.settle();
    if (wanted) this.#interrupt();
    return wanted;
  }

  #interrupt(): void {
    const { interrupt, window, statistics } = this.#options;
    window.tick();
    if (interrupt !== undefined) signalEvent(interrupt);
    statistics.add(Count.interrupts, 1);
  }

  /** The window has not the queue that we know: drop that one, and take up what there is. */
  #setUp(): void {
    const { window, memory, log, statistics } = this.#options;
    const known = this.#queue !== undefined || this.#broken;
    if (known && window.hasQueue && window.isTakenUp) {
      // Not by us, and no driver does such a thing.
      if (this.#queue !== undefined) throw new QueueViolation('the queue was moved');
      return;
    }
    this.#drop();
    if (!window.hasQueue) return;
    const takeOver = window.isTakenUp;
    // Before it is noted, so that no successor of ours takes what is left of another queue for this one's.
    if (!takeOver) window.clearLog();
    this.#pending = true;
    if (!window.takeUp()) return;
    const { size, addresses } = window.queue();
    this.#device.features = window.features;
    const ring = memory.ring(addresses, size);
    this.#queue = new SplitQueue(ring, {
      eventIndex: hasFeature(this.#device.features, Feature.eventIndex),
      indirect: hasFeature(this.#device.features, Feature.indirectDescriptors),
      next: ring.usedIndex(),
      log: window.log(size),
    });
    statistics.add(Count.connections, 1);
    log(`queue of ${size} ${takeOver ? 'taken over' : 'set up'}`);
    // A server before us may have died between giving back and telling.
    if (takeOver) this.#interrupt();
  }

  /** Forget the queue: the driver has. */
  #drop(): void {
    const { window, memory, log } = this.#options;
    if (this.#broken) window.setBroken(false);
    this.#broken = false;
    if (this.#queue === undefined) return;
    this.#device.drain();
    memory.discard();
    this.#queue = undefined;
    log('queue reset by the driver');
  }

  /** Do it; should the driver break the rules, the queue rests until it is set up anew. */
  #guarded(work: () => boolean): boolean {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof QueueViolation)) throw error;
      this.#break(error);
      return false;
    }
  }

  #break(violation: QueueViolation): void {
    const { window, memory, log, statistics } = this.#options;
    log(`queue stopped: ${violation.message}`);
    statistics.add(Count.violations, 1);
    const queue = this.#queue;
    this.#queue = undefined;
    this.#broken = true;
    this.#device.drain();
    try {
      queue?.publish();
    } catch (error) {
      if (!(error instanceof QueueViolation)) throw error;
    }
    memory.discard();
    window.setBroken(true);
    this.#interrupt();
  }
}
