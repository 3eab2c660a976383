import type { GuestMemory } from '../memory/guest-memory.js';
import type { DescriptorChain } from './descriptor-chain.js';
import type { InflightLog } from './inflight-log.js';
import type { Ring } from './ring.js';
import { QueueViolation } from './violation.js';

export interface QueueOptions {
  /** VIRTIO_F_EVENT_IDX and VIRTIO_F_INDIRECT_DESC were agreed upon. */
  eventIndex: boolean;
  indirect: boolean;
  /** The available index to go on from. */
  next: number;
  /** Where to note what is under way, for a successor of ours. */
  log?: InflightLog | undefined;
}

/** The device’s side of a split virtqueue (VIRTIO 1.2, 2.7): chains are taken, and given back used. */
export class SplitQueue {
  /** Chains taken and not yet given back. */
  underWay = 0;
  #ring: Ring;
  readonly #options: QueueOptions;
  /** What an earlier server had taken and not given back: to be done before anything new. */
  readonly #resubmit: number[];
  #next: number;
  /** The available index when it was read last: the driver writes it, so each look at it may be slow. */
  #known: number;
  #used: number;
  #published: number;
  /** At which index `settle` asked to be notified last. */
  #armed: number;

  constructor(ring: Ring, options: QueueOptions) {
    this.#ring = ring;
    this.#options = options;
    this.#used = ring.usedIndex();
    this.#published = this.#used;
    this.#resubmit = options.log?.recover(this.#used) ?? [];
    this.#next =
      this.#resubmit.length > 0
        ? (this.#used + this.#resubmit.length) & 0xffff
        : options.next & 0xffff;
    this.#known = this.#next;
    // A server before us asked before it gave back: only what it left under way is in doubt.
    this.#armed = this.#resubmit.length > 0 ? -1 : this.#next;
  }

  /** The available index of the next chain that will be taken (VHOST_USER_GET_VRING_BASE). */
  get next(): number {
    return this.#next;
  }

  /** Go on with the same ring elsewhere: its memory was mapped anew. */
  moveTo(ring: Ring): void {
    this.#ring = ring;
  }

  /** Take the next chain; false if there is none. Throws QueueViolation. */
  take(chain: DescriptorChain, memory: GuestMemory): boolean {
    const ring = this.#ring;
    if (this.#resubmit.length > 0) {
      chain.read(ring, this.#resubmit.shift() ?? 0, memory, this.#options);
    } else {
      if (this.#known === this.#next && !this.#learn()) return false;
      const head = ring.availableHead(this.#next);
      chain.read(ring, head, memory, this.#options);
      this.#next = (this.#next + 1) & 0xffff;
      this.#options.log?.take(head);
    }
    this.underWay++;
    return true;
  }

  /** Ask the driver how far the available ring is filled; false if nothing new is there. */
  #learn(): boolean {
    const available = this.#ring.availableIndex();
    const waiting = (available - this.#next) & 0xffff;
    if (waiting > this.#ring.size) {
      throw new QueueViolation(`available index jumped from ${this.#next} to ${available}`);
    }
    this.#known = available;
    return waiting > 0;
  }

  /** Give a chain back; the driver sees it after `publish`. `length` is how much was written into it. */
  giveBack(head: number, length: number): void {
    this.#ring.setUsed(this.#used, head, length);
    this.#used = (this.#used + 1) & 0xffff;
    this.underWay--;
    this.#options.log?.giveBack(head);
  }

  /** Show the driver what was given back; true if it wants an interrupt for it (2.7.7.2, 2.7.10). */
  publish(): boolean {
    const before = this.#published;
    const now = this.#used;
    if (now === before) return false;
    const ring = this.#ring;
    ring.publishUsed(now);
    this.#options.log?.publish(now);
    this.#published = now;
    if (!this.#options.eventIndex) return !ring.interruptsSuppressed();
    // vring_need_event: did the index pass the event since it was last published?
    return ((now - ring.usedEvent() - 1) & 0xffff) < ((now - before) & 0xffff);
  }

  /**
   * `arm` and `publish` in one, in the order that suits a driver that may take the ring away once it
   * has everything back: after publishing nothing is written to it. True if it wants an interrupt.
   * `look` tells then whether something came meanwhile. For queues that are never disarmed.
   */
  settle(): boolean {
    if (this.#options.eventIndex && this.#armed !== this.#next) {
      this.#armed = this.#next;
      this.#ring.setAvailableEvent(this.#next);
    }
    return this.publish();
  }

  /** Whether there is something to take; `settled`: as of `settle`, which was called just now. */
  look(since: 'ever' | 'settled'): boolean {
    this.#ring.refresh(this.#next, since);
    return this.#resubmit.length > 0 || this.#ring.availableIndex() !== this.#next;
  }

  /** Ask for no notifications while we look by ourselves. With the event index, not asking is enough. */
  disarm(): void {
    if (!this.#options.eventIndex) this.#ring.suppressNotifications(true);
  }

  /** Ask to be notified of the next chain; true if one came meanwhile: then look again first. */
  arm(): boolean {
    const ring = this.#ring;
    if (this.#options.eventIndex) ring.setAvailableEvent(this.#next);
    else ring.suppressNotifications(false);
    return this.#resubmit.length > 0 || ring.availableIndex() !== this.#next;
  }
}
