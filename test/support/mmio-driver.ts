import { closeSync, readSync } from 'node:fs';
import { Statistics } from '../../attacher/virtio/block/statistics.js';
import type { Disk } from '../../attacher/virtio/disk/disk.js';
import type { IoEngine } from '../../attacher/virtio/disk/io-engine.js';
import { openGuestMemory, type QueueMemory } from '../../attacher/virtio/mmio/queue-memory.js';
import { Register, split } from '../../attacher/virtio/mmio/registers.js';
import { WindowLoop } from '../../attacher/virtio/mmio/window-loop.js';
import { DeviceWindow, type WindowPlace } from '../../attacher/virtio/mmio/window.js';
import { closeDescriptor, createEvent, signalEvent } from '../../native/linux/event.js';
import { Mapping } from '../../native/linux/mapping.js';
import { createMemoryFile } from '../../native/linux/memory-file.js';
import { openProcess } from '../../native/linux/process-memory.js';
import { TestMemory, TestQueue, type Descriptor } from './virtio-driver.js';

const page = 4096;
const readOnly = 3 * page;
const tick = page + 64;

/** Shared memory and events as a hijacked VM has them, and the guest's driver (virtio_mmio.c, version 1). */
export class MmioDriver {
  readonly fd = createMemoryFile('arena', 4 * page);
  readonly mapping = Mapping.ofFile(this.fd, { offset: 0, length: 4 * page, writable: true });
  readonly place: WindowPlace = {
    fd: this.fd,
    registers: readOnly - split,
    readOnly,
    inflight: 1024,
    tick,
  };
  readonly notify = createEvent();
  readonly status = createEvent();
  readonly interrupt = createEvent();
  queue: TestQueue | undefined;

  constructor(readonly memory: TestMemory) {}

  read(register: number): number {
    return this.#view.getUint32(readOnly - split + register, true);
  }

  /** A write as the guest's: to plain memory, or where a doorbell is. */
  write(register: number, value: number): void {
    if (register === Register.status) signalEvent(this.status);
    else if (register === Register.queueNotify) signalEvent(this.notify);
    else if (register < split) {
      this.#view.setUint32(readOnly - split + register, value, true);
    } else throw new Error(`a write to ${register} would trap`);
  }

  /** Probe as the kernel does, up to DRIVER_OK; false if there is no device. */
  probe(features: number, size = Infinity): boolean {
    if (this.read(Register.magic) !== 0x74726976) return false;
    this.write(Register.guestPageSize, page);
    for (const status of [0, 1, 2]) this.write(Register.status, status);
    const offered = this.read(Register.hostFeatures);
    this.write(Register.guestFeatures, 0); // the high half
    this.write(Register.guestFeatures, (offered & features) >>> 0);
    this.setUpQueue(Math.min(size, this.read(Register.queueSizeMax)));
    this.write(Register.status, 4);
    this.write(Register.status, 4);
    return true;
  }

  setUpQueue(size: number, queue = new TestQueue(this.memory, size, page)): void {
    this.write(Register.queueSelect, 0);
    if (this.read(Register.queuePage) !== 0) throw new Error('the queue is in use');
    this.queue = queue;
    this.write(Register.queueSize, size);
    this.write(Register.queueAlign, page);
    this.write(Register.queuePage, queue.table / page);
  }

  /** Remove the device, as the kernel does. */
  remove(): void {
    this.write(Register.status, 0);
    this.write(Register.queueSelect, 0);
    this.write(Register.queuePage, 0);
    this.write(Register.status, 1);
    this.queue = undefined;
  }

  /** Make a request available; its buffers. `data` is what to write, or how much to read. */
  offer(
    type: number,
    sector: number,
    data: Uint8Array | number,
    options: { indirect?: boolean; pieces?: number } = {},
  ): Offered {
    const { memory, queue } = this;
    if (queue === undefined) throw new Error('no queue');
    const { indirect = false, pieces = 1 } = options;
    const length = typeof data === 'number' ? data : data.length;
    const header = memory.allocate(16);
    memory.view(header, 16).setUint32(0, type, true);
    memory.view(header, 16).setBigUint64(8, BigInt(sector), true);
    const start = memory.allocate(Math.max(length, 1));
    if (typeof data !== 'number' && length > 0) memory.bytes(start, length).set(data);
    const status = memory.allocate(1);
    memory.bytes(status, 1)[0] = 0xee;
    const buffers: Descriptor[] = [{ address: header, length: 16 }];
    const piece = Math.ceil(length / pieces);
    for (let at = 0; at < length; at += piece) {
      const rest = Math.min(piece, length - at);
      buffers.push({ address: start + at, length: rest, write: typeof data === 'number' });
    }
    buffers.push({ address: status, length: 1, write: true });
    const head = indirect ? queue.indirect(buffers) : queue.chain(buffers);
    queue.offer(head);
    return {
      head,
      status: () => memory.bytes(status, 1)[0] ?? -1,
      data: () => (length > 0 ? memory.bytes(start, length).slice() : new Uint8Array(0)),
    };
  }

  kick(): void {
    this.write(Register.queueNotify, 0);
  }

  /** How often there was an interrupt since last asked. */
  interrupts(): number {
    const count = new BigUint64Array(1);
    try {
      readSync(this.interrupt, count);
    } catch {
      return 0;
    }
    return Number(count[0]);
  }

  ticks(): number {
    return this.#view.getUint32(tick, true);
  }

  close(): void {
    for (const fd of [this.notify, this.status, this.interrupt]) closeDescriptor(fd);
    this.mapping.close();
    closeSync(this.fd);
  }

  get #view(): DataView {
    return this.mapping.viewAt(0);
  }
}

export interface Offered {
  head: number;
  status: () => number;
  data: () => Uint8Array;
}

export type MemoryKind = QueueMemory['kind'];

/** A server for `driver`, in this thread. Its memory as the hypervisor's: ours stands for it. */
export class ServedWindow {
  readonly statistics = new Statistics();
  readonly log: string[] = [];
  readonly loop: WindowLoop;
  readonly window: DeviceWindow;
  readonly memory: QueueMemory;
  readonly #events: number[];

  constructor(
    readonly driver: MmioDriver,
    disk: Disk,
    options: { kind: MemoryKind; engine: IoEngine; takeOver?: boolean; poll?: boolean },
  ) {
    const { memory } = driver;
    this.memory = openGuestMemory(process.pid, [
      {
        guestAddress: memory.base,
        size: memory.size,
        userAddress: memory.mapping.address,
        ...(options.kind === 'mapped' && { fd: memory.fd, offset: 0 }),
      },
    ]);
    this.window = new DeviceWindow(driver.place);
    const [stop, owner] = (this.#events = [createEvent(), openProcess(process.pid)]);
    this.loop = new WindowLoop({
      disk,
      engine: this.memory.engine(options.engine),
      memory: this.memory,
      window: this.window,
      id: 'the-serial-number',
      notify: driver.notify,
      status: driver.status,
      stop: stop ?? -1,
      process: owner ?? -1,
      interrupt: options.poll === true ? undefined : driver.interrupt,
      statistics: this.statistics,
      log: (line) => this.log.push(line),
    });
    if (options.takeOver !== true) {
      this.window.initialize({ sectors: disk.sectors, offered: this.loop.offered });
    }
  }

  /** Let it do what there is to do. */
  pump(turns = 4): void {
    for (let n = 0; n < turns; n++) this.loop.turn(2);
  }

  /** One request, waited for. */
  request(...offer: Parameters<MmioDriver['offer']>): {
    status: number;
    data: Uint8Array;
    used: number;
  } {
    const { driver } = this;
    const offered = driver.offer(...offer);
    driver.kick();
    const deadline = Date.now() + 10_000;
    while (driver.queue?.usedIndex() === driver.queue?.seen && Date.now() < deadline) this.pump(1);
    const [used] = driver.queue?.takeUsed() ?? [];
    if (used?.head !== offered.head)
      throw new Error(
        `head ${used?.head} came back: ${this.log.join()} ${JSON.stringify(this.statistics.read())}`,
      );
    return { status: offered.status(), data: offered.data(), used: used.length };
  }

  close(): void {
    this.loop.close();
    this.abandon();
  }

  /** Go without finishing anything, as by SIGKILL. */
  abandon(): void {
    this.memory.close();
    this.window.close();
    this.#events.forEach(closeDescriptor);
  }
}
