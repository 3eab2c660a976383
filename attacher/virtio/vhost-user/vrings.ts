import { closeDescriptor, isEvent } from '../../../native/linux/event.js';
import type { BlockDevice } from '../block/block-device.js';
import { Feature, hasFeature } from '../block/protocol.js';
import type { MappedMemory } from '../memory/mapped-memory.js';
import { largestQueue } from '../queue/ring.js';
import { QueueViolation } from '../queue/violation.js';
import type { InflightMemory } from './inflight-memory.js';
import type { ClientMessage } from './message-reader.js';
import type { Payload } from './payload.js';
import {
  Message,
  noDescriptorFlag,
  ProtocolError,
  vringIndexMask,
  type Answer,
} from './protocol.js';
import { Vring } from './vring.js';

export interface VringsOptions {
  device: BlockDevice;
  memory: MappedMemory;
  /** How many queues there are. */
  queues: number;
  /** A queue’s notifications are to be watched, or no more. */
  watch: (vring: Vring) => void;
  unwatch: (vring: Vring) => void;
  /** A queue cannot run where the client says it is, and why; it is tried again with other memory. */
  notThere: (vring: Vring, violation: QueueViolation) => void;
}

/** All queues of a client, and the messages that set them up, start and stop them. */
export class Vrings {
  readonly all: readonly Vring[];
  /** Where requests under way are noted, if the client keeps such memory. */
  inflight: InflightMemory | undefined;
  readonly #options: VringsOptions;

  constructor(options: VringsOptions) {
    this.#options = options;
    this.all = Array.from({ length: options.queues }, (_, index) => new Vring(index));
  }

  /** Act on a message about a queue; throws ProtocolError. */
  handle(message: ClientMessage, payload: Payload): Answer | undefined {
    switch (message.request) {
      case Message.setVringNum: {
        const vring = this.#stoppedVring(payload.u32());
        const size = payload.u32();
        if (size === 0 || size > largestQueue || (size & (size - 1)) !== 0) {
          throw new ProtocolError(`queue of ${size} entries`);
        }
        vring.size = size;
        return undefined;
      }
      case Message.setVringAddr: {
        const vring = this.#vring(payload.u32());
        payload.u32(); // flags: logging, which is not offered
        const [table, used, available] = [payload.u64(), payload.u64(), payload.u64()];
        payload.bits();
        this.#options.device.drain();
        vring.broken = false;
        vring.addresses = { table, used, available };
        this.#refresh(vring);
        return undefined;
      }
      case Message.setVringBase: {
        const vring = this.#stoppedVring(payload.u32());
        vring.base = payload.u32() & 0xffff;
        return undefined;
      }
      case Message.getVringBase: {
        const vring = this.#vring(payload.u32());
        payload.u32();
        this.#stop(vring);
        vring.broken = false;
        this.#dropKick(vring);
        const state = new DataView(new ArrayBuffer(8));
        state.setUint32(0, vring.index, true);
        state.setUint32(4, vring.base, true);
        return { payload: new Uint8Array(state.buffer) };
      }
      case Message.setVringEnable: {
        const vring = this.#vring(payload.u32());
        vring.enabled = payload.u32() !== 0;
        if (!vring.enabled) this.#stop(vring);
        this.#refresh(vring);
        return undefined;
      }
      case Message.setVringKick: {
        const [vring, fd] = this.#vringAndEvent(payload, message);
        if (fd === undefined) throw new ProtocolError('queue without a kick descriptor');
        this.#dropKick(vring);
        vring.kick = fd;
        this.#options.watch(vring);
        this.#refresh(vring);
        return undefined;
      }
      case Message.setVringCall: {
        const [vring, fd] = this.#vringAndEvent(payload, message);
        vring.setCall(fd);
        // What was published before had nobody to tell.
        if (vring.queue) vring.interrupt();
        return undefined;
      }
      case Message.setVringErr: {
        const [vring, fd] = this.#vringAndEvent(payload, message);
        vring.setError(fd);
        return undefined;
      }
      default:
        throw new ProtocolError(`message ${message.request} is not known here`);
    }
  }

  /** Start queues that can run; those that run go on where their memory is now, unless only `resting` ones are meant. */
  refresh(which: { resting?: boolean } = {}): void {
    for (const vring of this.all) if (!vring.queue || !which.resting) this.#refresh(vring);
  }

  /** Stop all queues, when what is under way is done. */
  stop(): void {
    for (const vring of this.all) this.#stop(vring);
  }

  /** Back to how queues are before anything was agreed upon. */
  reset(): void {
    this.stop();
    for (const vring of this.all) vring.enabled = vring.broken = false;
  }

  close(): void {
    this.stop();
    for (const vring of this.all) {
      this.#dropKick(vring);
      vring.close();
    }
    this.inflight?.close();
  }

  /** Start the queue if it can run, or let it go on where its memory is now. */
  #refresh(vring: Vring): void {
    if (!vring.runnable) return;
    const { device, memory, notThere } = this.#options;
    try {
      vring.start(memory, {
        eventIndex: hasFeature(device.features, Feature.eventIndex),
        indirect: hasFeature(device.features, Feature.indirectDescriptors),
        log: vring.queue ? undefined : this.inflight?.log(vring.index, vring.size),
      });
    } catch (error) {
      if (!(error instanceof QueueViolation)) throw error;
      this.#stop(vring);
      notThere(vring, error);
    }
  }

  #stop(vring: Vring): void {
    if (vring.queue === undefined) return;
    this.#options.device.drain();
    if (vring.queue.publish()) vring.interrupt();
    vring.stop();
  }

  #dropKick(vring: Vring): void {
    if (vring.kick === undefined) return;
    this.#options.unwatch(vring);
    closeDescriptor(vring.kick);
    vring.kick = undefined;
  }

  #vring(index: number): Vring {
    const vring = this.all[index];
    if (vring === undefined) throw new ProtocolError(`no queue ${index}`);
    return vring;
  }

  #stoppedVring(index: number): Vring {
    const vring = this.#vring(index);
    if (vring.queue) throw new ProtocolError(`queue ${index} is running`);
    return vring;
  }

  /** The queue that kick, call or err is for, and the eventfd, if any. */
  #vringAndEvent(payload: Payload, message: ClientMessage): [Vring, number | undefined] {
    const value = payload.u64();
    const vring = this.#vring(value & vringIndexMask);
    if ((value & noDescriptorFlag) !== 0) return [vring, undefined];
    const [fd, ...more] = message.descriptors;
    // Only an eventfd can be trusted never to block who writes to it.
    if (fd === undefined || more.length > 0 || !isEvent(fd)) {
      throw new ProtocolError('queue event that is not one eventfd');
    }
    message.descriptors.splice(0);
    return [vring, fd];
  }
}
