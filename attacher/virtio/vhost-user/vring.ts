import { closeDescriptor, signalEvent } from '../../../native/linux/event.js';
import type { MappedMemory } from '../memory/mapped-memory.js';
import type { InflightLog } from '../queue/inflight-log.js';
import { MappedRing } from '../queue/mapped-ring.js';
import type { RingAddresses } from '../queue/ring.js';
import { SplitQueue } from '../queue/split-queue.js';
import { QueueViolation } from '../queue/violation.js';

/** What a client set up of one queue, and the queue itself while it runs. */
export class Vring {
  size = 0;
  /** Ring addresses as the client has them mapped. */
  addresses: RingAddresses | undefined;
  base = 0;
  enabled = false;
  /** The driver may have made something available since we looked. */
  pending = false;
  /** All that was available was taken when we looked last. */
  emptied = true;
  /** The driver broke the rules: the queue rests until the client sets it up anew. */
  broken = false;
  queue: SplitQueue | undefined;
  kick: number | undefined;
  #call: number | undefined;
  #error: number | undefined;

  constructor(readonly index: number) {}

  get runnable(): boolean {
    const ready = this.enabled && this.kick !== undefined && !this.broken;
    return ready && this.size > 0 && this.addresses !== undefined;
  }

  /** Begin, or go on where the memory is now. Throws QueueViolation where the ring is not in it. */
  start(
    memory: MappedMemory,
    options: { eventIndex: boolean; indirect: boolean; log: InflightLog | undefined },
  ): void {
    if (this.addresses === undefined) return;
    const ring = new MappedRing(memory, guestAddresses(memory, this.addresses), this.size);
    if (this.queue) this.queue.moveTo(ring);
    else this.queue = new SplitQueue(ring, { ...options, next: this.base });
    this.pending = true;
  }

  /** Stop; nothing may be under way. Where it stopped is kept as the base to begin from. */
  stop(): void {
    if (this.queue) this.base = this.queue.next;
    this.queue = undefined;
    this.pending = false;
    this.emptied = true;
  }

  /** Tell the driver that there are used buffers; without a descriptor it polls. */
  interrupt(): void {
    if (this.#call !== undefined) signalEvent(this.#call);
  }

  /** Tell the client that the queue is broken. */
  signalError(): void {
    if (this.#error !== undefined) signalEvent(this.#error);
  }

  setCall(fd: number | undefined): void {
    closeIfAny(this.#call);
    this.#call = fd;
  }

  setError(fd: number | undefined): void {
    closeIfAny(this.#error);
    this.#error = fd;
  }

  close(): void {
    this.stop();
    closeIfAny(this.kick);
    this.kick = undefined;
    this.setCall(undefined);
    this.setError(undefined);
  }
}

function guestAddresses(memory: MappedMemory, user: RingAddresses): RingAddresses {
  const translate = (address: number, what: string): number => {
    const found = memory.guestAddressOf(address);
    if (found === undefined) throw new QueueViolation(`${what} outside guest memory`);
    return found;
  };
  return {
    table: translate(user.table, 'descriptor table'),
    available: translate(user.available, 'available ring'),
    used: translate(user.used, 'used ring'),
  };
}

function closeIfAny(fd: number | undefined): void {
  if (fd !== undefined) closeDescriptor(fd);
}
