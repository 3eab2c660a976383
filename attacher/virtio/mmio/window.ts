import { fstatSync } from 'node:fs';
import { Mapping } from '../../../native/linux/mapping.js';
import { encodeConfig } from '../block/config-space.js';
import { Feature, featureBits } from '../block/protocol.js';
import { inflightLength, InflightLog } from '../queue/inflight-log.js';
import type { RingAddresses } from '../queue/ring.js';
import { QueueViolation } from '../queue/violation.js';
import {
  blockDevice,
  InterruptBit,
  legacyVersion,
  magic,
  needsReset,
  queueSizeMax,
  Register,
  split,
  vendor,
  windowLength,
} from './registers.js';

/** Where the parts of a window are in a file of shared memory. */
export interface WindowPlace {
  fd: number;
  /** The window's first `split` bytes: its registers that the driver writes. */
  registers: number;
  /** The rest of the window: the start of a page that is read-only for the guest. */
  readOnly: number;
  /** `inflightLogLength` bytes that outlive us, in a page that the guest need not see. */
  inflight: number;
  /** A counter of 32 bits that is stepped when something was given back, for drivers that poll. */
  tick?: number | undefined;
}

/** A queue as the driver set it up. */
export interface QueueSetup {
  size: number;
  addresses: RingAddresses;
}

/** Bytes for the log of what is under way. */
export const inflightLogLength = inflightLength(queueSizeMax);

/**
 * Features that may be offered. The driver reads the low half for the high half too, so each bit n
 * is offered as n + 32 as well: those that come of these are cleared by every Linux
 * (vring_transport_features) or mean nothing there. Not so bits 1 to 4 and 6: ACCESS_PLATFORM,
 * RING_PACKED, IN_ORDER, ORDER_PLATFORM and NOTIFICATION_DATA.
 */
const safeFeatures = featureBits(
  Feature.readOnly,
  Feature.flush,
  Feature.discard,
  Feature.writeZeroes,
  Feature.indirectDescriptors,
  Feature.eventIndex,
);

/** In QueueAlign: the queue was taken up. A driver that sets it up anew writes it without. */
const takenUp = 0x8000_0000;

/** The device's registers, in memory that is shared with the guest. Nothing in it can be trusted. */
export class DeviceWindow {
  readonly #mapping: Mapping;
  readonly #words: Uint32Array;
  readonly #inflight: DataView;
  /** The queue that was taken up last: its page and alignment as they are in the registers. */
  #page = 0;
  #align = 0;

  /** Map the file; throws RangeError where a part is not in it or not aligned. */
  constructor(private readonly place: WindowPlace) {
    const { size } = fstatSync(place.fd);
    check('registers', place.registers, split, 16, size);
    check('read-only registers', place.readOnly, windowLength - split, 16, size);
    check('in-flight log', place.inflight, inflightLogLength, 8, size);
    if (place.tick !== undefined) check('tick', place.tick, 4, 4, size);
    this.#mapping = Mapping.ofFile(place.fd, { offset: 0, length: size, writable: true });
    const { buffer } = this.#mapping.viewAt(0);
    this.#words = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
    this.#inflight = new DataView(buffer, place.inflight, inflightLogLength);
  }

  /** A device that no driver has seen yet. Whatever was there is overwritten. */
  initialize(disk: { sectors: number; offered: bigint }): void {
    this.#mapping.bytes(this.place.registers, split).fill(0);
    this.#mapping.bytes(this.place.readOnly, windowLength - split).fill(0);
    this.clearLog();
    this.#set(Register.hostFeatures, Number(disk.offered & safeFeatures));
    this.#set(Register.version, legacyVersion);
    this.#set(Register.device, blockDevice);
    this.#set(Register.vendor, vendor);
    this.#set(Register.queueSizeMax, queueSizeMax);
    this.#set(Register.interruptStatus, InterruptBit.queue);
    const config = encodeConfig({ sectors: disk.sectors, blockSize: 512, queues: 1 });
    this.#mapping.bytes(this.#at(Register.config), config.length).set(config);
    this.#set(Register.magic, magic);
  }

  /** Whether a device was initialized here. */
  get initialized(): boolean {
    return this.#get(Register.magic) === magic && this.#get(Register.version) === legacyVersion;
  }

  /** The size that the guest was told, in sectors. */
  get sectors(): number {
    const at = this.#at(Register.config);
    return Number(this.#mapping.viewAt(0).getBigUint64(at, true));
  }

  /** What the driver accepted of what is offered. */
  get features(): bigint {
    return BigInt(this.#get(Register.guestFeatures)) & safeFeatures;
  }

  /** Whether the driver has a queue set up. */
  get hasQueue(): boolean {
    return this.#get(Register.queuePage) !== 0;
  }

  /** Whether the queue, if there is one, was taken up by us or by a server before us. */
  get isTakenUp(): boolean {
    return this.#get(Register.queueAlign) >= takenUp;
  }

  /** Whether the queue is still the one that was taken up last. */
  get isCurrent(): boolean {
    const page = this.#get(Register.queuePage);
    return page !== 0 && page === this.#page && this.#get(Register.queueAlign) === this.#align;
  }

  /**
   * Note that the queue, as it is set up now, was taken up: whatever comes of it, a driver that sets
   * one up anew is noticed. False if there is none, or it changed meanwhile.
   */
  takeUp(): boolean {
    const index = this.#at(Register.queueAlign) >>> 2;
    const align = this.#get(Register.queueAlign);
    this.#page = this.#get(Register.queuePage);
    this.#align = (align | takenUp) >>> 0;
    const before = Atomics.compareExchange(this.#words, index, align, this.#align);
    return before === align && this.isCurrent;
  }

  /** The queue that was taken up (VIRTIO 1.2, 2.7.2: legacy layout). Throws QueueViolation. */
  queue(): QueueSetup {
    const align = this.#align % takenUp;
    const size = this.#get(Register.queueSize);
    const pageSize = this.#get(Register.guestPageSize);
    if (!isPower(size, 1, queueSizeMax)) throw new QueueViolation(`queue of ${size} entries`);
    if (!isPower(align, 16, 1 << 16)) throw new QueueViolation(`queue aligned to ${align}`);
    if (!isPower(pageSize, 4096, 1 << 16)) throw new QueueViolation(`pages of ${pageSize} bytes`);
    const table = this.#page * pageSize;
    const available = table + 16 * size;
    const used = Math.ceil((available + 6 + 2 * size) / align) * align;
    return { size, addresses: { table, available, used } };
  }

  /** What is under way in the queue, with what a server before us left in it. */
  log(size: number): InflightLog {
    return new InflightLog(this.#inflight, 0, size);
  }

  /** Nothing is under way. */
  clearLog(): void {
    this.#mapping.bytes(this.place.inflight, inflightLogLength).fill(0);
  }

  /** Tell the driver, at its next interrupt, that the device is broken; or that it is not. */
  setBroken(broken: boolean): void {
    this.#set(Register.status, broken ? needsReset : 0);
    this.#set(Register.interruptStatus, InterruptBit.queue | (broken ? InterruptBit.config : 0));
  }

  /** Step the counter, if there is one. */
  tick(): void {
    const { tick } = this.place;
    if (tick !== undefined) Atomics.add(this.#words, tick >>> 2, 1);
  }

  close(): void {
    this.#mapping.close();
  }

  #at(register: number): number {
    const { registers, readOnly } = this.place;
    return register < split ? registers + register : readOnly + (register - split);
  }

  #get(register: number): number {
    return Atomics.load(this.#words, this.#at(register) >>> 2);
  }

  #set(register: number, value: number): void {
    Atomics.store(this.#words, this.#at(register) >>> 2, value);
  }
}

function isPower(value: number, least: number, most: number): boolean {
  return value >= least && value <= most && (value & (value - 1)) === 0;
}

function check(name: string, at: number, length: number, alignment: number, size: number): void {
  if (Number.isSafeInteger(at) && at >= 0 && at % alignment === 0 && at + length <= size) return;
  throw new RangeError(`${name} at ${at} of a file of ${size} bytes`);
}
