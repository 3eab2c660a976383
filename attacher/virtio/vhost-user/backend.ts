import { closeDescriptor } from '../../../native/linux/event.js';
import { featureBits, hasFeature } from '../block/protocol.js';
import { RegionError } from '../memory/mapped-memory.js';
import { largestQueue } from '../queue/ring.js';
import { InflightMemory } from './inflight-memory.js';
import type { ClientMessage } from './message-reader.js';
import { Payload } from './payload.js';
import {
  encodeNumber,
  memorySlots,
  Message,
  ProtocolError,
  ProtocolFeature,
  protocolFeaturesBit,
  tableSlots,
  type Answer,
} from './protocol.js';
import type { Vring } from './vring.js';
import { Vrings, type VringsOptions } from './vrings.js';

const offeredProtocolFeatures = featureBits(...Object.values(ProtocolFeature));

export interface BackendOptions extends VringsOptions {
  /** The device’s configuration space. */
  config: Uint8Array;
}

/** The state that one client’s messages build up (vhost-user specification, “Front-end message types”). */
export class Backend {
  readonly #vrings: Vrings;
  readonly #options: BackendOptions;
  /** Undefined until the client has said them. */
  #protocolFeatures: bigint | undefined;

  constructor(options: BackendOptions) {
    this.#options = options;
    this.#vrings = new Vrings(options);
  }

  get vrings(): readonly Vring[] {
    return this.#vrings.all;
  }

  /**
   * Whether the client may ask for acknowledgements. One that has said no features goes on with what it
   * agreed on with a server before us: QEMU does so where that was killed just before it started the
   * device, and would wait for its answer for ever.
   */
  get acknowledges(): boolean {
    const features = this.#protocolFeatures;
    return features === undefined || hasFeature(features, ProtocolFeature.replyAck);
  }

  /**
   * Act on a message. Throws ProtocolError where the client broke the rules, RegionError where
   * memory cannot be had. Takes descriptors that it keeps out of the message.
   */
  handle(message: ClientMessage): Answer | undefined {
    const payload = new Payload(message.payload);
    const answer = this.#dispatch(message, payload);
    payload.end();
    if (message.descriptors.length > 0) {
      throw new ProtocolError(`file descriptors not called for in message ${message.request}`);
    }
    return answer;
  }

  /** The client has gone: nothing of its is kept. */
  close(): void {
    this.#vrings.close();
    this.#options.memory.clear();
    this.#options.device.features = 0n;
  }

  #dispatch(message: ClientMessage, payload: Payload): Answer | undefined {
    const { device } = this.#options;
    switch (message.request) {
      case Message.getFeatures:
        return number(device.offered | featureBits(protocolFeaturesBit));
      case Message.setFeatures:
        this.#setFeatures(payload.bits());
        return undefined;
      case Message.getProtocolFeatures:
        return number(offeredProtocolFeatures);
      case Message.setProtocolFeatures:
        this.#protocolFeatures = payload.bits() & offeredProtocolFeatures;
        return undefined;
      case Message.setOwner:
        return undefined;
      case Message.resetOwner:
      case Message.resetDevice:
        this.#vrings.reset();
        return undefined;
      case Message.getQueueNum:
        return number(this.vrings.length);
      case Message.getConfig:
        return this.#config(payload);
      case Message.setConfig:
        payload.rest(); // no field of a block device as offered is for the driver to write
        return undefined;
      case Message.getMaxMemSlots:
        return number(memorySlots);
      case Message.setMemTable:
        this.#setMemoryTable(payload, message);
        return undefined;
      case Message.addMemReg:
        this.#addRegion(payload, message);
        return undefined;
      case Message.remMemReg:
        this.#removeRegion(payload, message);
        return undefined;
      case Message.getInflightFd:
        return this.#createInflight(payload);
      case Message.setInflightFd:
        this.#setInflight(payload, message);
        return undefined;
      default:
        return this.#vrings.handle(message, payload);
    }
  }

  #setFeatures(features: bigint): void {
    const { device } = this.#options;
    const protocol = featureBits(protocolFeaturesBit);
    const unknown = features & ~(device.offered | protocol);
    if (unknown !== 0n) throw new ProtocolError(`features 0x${unknown.toString(16)} not offered`);
    const agreed = features & ~protocol;
    if (agreed !== device.features) this.#vrings.stop();
    device.features = agreed;
    // Without protocol features there is no message to enable a queue with (“Ring states”).
    if ((features & protocol) === 0n) for (const vring of this.vrings) vring.enabled = true;
    this.#vrings.refresh();
  }

  #config(payload: Payload): Answer {
    const { config } = this.#options;
    const offset = payload.u32();
    const size = payload.u32();
    payload.u32();
    payload.rest();
    if (offset + size > 256) throw new ProtocolError(`config of ${size} bytes at ${offset}`);
    const reply = new Uint8Array(12 + size);
    const view = new DataView(reply.buffer);
    view.setUint32(0, offset, true);
    view.setUint32(4, size, true);
    reply.set(config.subarray(offset, offset + size), 12);
    return { payload: reply };
  }

  #setMemoryTable(payload: Payload, message: ClientMessage): void {
    const { device, memory } = this.#options;
    const count = payload.u32();
    payload.u32();
    if (count > tableSlots || message.descriptors.length !== count) {
      throw new ProtocolError(
        `memory table of ${count} regions with ${message.descriptors.length} file descriptors`,
      );
    }
    const regions = Array.from({ length: count }, () => payload.region());
    device.drain();
    memory.clear();
    try {
      regions.forEach((region, n) => memory.add(region, message.descriptors[n] ?? -1));
    } finally {
      this.#vrings.refresh();
    }
    message.descriptors.splice(0).forEach(closeDescriptor);
  }

  #addRegion(payload: Payload, message: ClientMessage): void {
    const { memory } = this.#options;
    payload.bits();
    const region = payload.region();
    const [fd, ...more] = message.descriptors;
    if (fd === undefined || more.length > 0) {
      throw new ProtocolError('memory region with no or several file descriptors');
    }
    if (memory.regions.length === memorySlots) throw new RegionError('too many memory regions');
    memory.add(region, fd);
    message.descriptors.splice(0).forEach(closeDescriptor);
    this.#vrings.refresh({ resting: true });
  }

  #removeRegion(payload: Payload, message: ClientMessage): void {
    const { device, memory } = this.#options;
    payload.bits();
    const { guestAddress, size } = payload.region();
    // Front-ends may send the region’s descriptor along; it says nothing new.
    message.descriptors.splice(0).forEach(closeDescriptor);
    device.drain();
    if (!memory.remove(guestAddress, size)) throw new RegionError('no such memory region');
    this.#vrings.refresh();
  }

  #createInflight(payload: Payload): Answer {
    payload.bits();
    payload.bits();
    const [queues, queueSize] = [payload.u16(), payload.u16()];
    this.#checkInflight(queues, queueSize);
    // Front-ends differ in whether the struct is padded: they get it as they have it.
    const padding = payload.rest().length;
    const { fd, length } = InflightMemory.create(queues, queueSize);
    const reply = new DataView(new ArrayBuffer(20 + padding));
    reply.setBigUint64(0, BigInt(length), true);
    reply.setUint16(16, queues, true);
    reply.setUint16(18, queueSize, true);
    return { payload: new Uint8Array(reply.buffer), descriptor: fd };
  }

  #setInflight(payload: Payload, message: ClientMessage): void {
    const [length, offset, queues, queueSize] = [
      payload.u64(),
      payload.u64(),
      payload.u16(),
      payload.u16(),
    ];
    payload.rest();
    const [fd, ...more] = message.descriptors;
    if (fd === undefined || more.length > 0) {
      throw new ProtocolError('in-flight memory with no or several file descriptors');
    }
    this.#checkInflight(queues, queueSize);
    this.#vrings.stop();
    this.#vrings.inflight?.close();
    this.#vrings.inflight = InflightMemory.open(fd, { length, offset, queues, queueSize });
    message.descriptors.splice(0).forEach(closeDescriptor);
    this.#vrings.refresh();
  }

  #checkInflight(queues: number, queueSize: number): void {
    const sound = queues > 0 && queues <= this.vrings.length && queueSize > 0;
    if (!sound || queueSize > largestQueue) {
      throw new ProtocolError(`in-flight memory for ${queues} queues of ${queueSize}`);
    }
  }
}

function number(value: bigint | number): Answer {
  return { payload: encodeNumber(value) };
}
