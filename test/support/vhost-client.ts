import { closeDescriptor, createEvent, signalEvent } from '../../native/linux/event.js';
import { connectTo, receive, send } from '../../native/linux/unix-socket.js';
import { headerLength, Message } from '../../attacher/virtio/vhost-user/protocol.js';
import type { TestMemory, TestQueue } from './virtio-driver.js';

export interface Reply {
  payload: DataView;
  descriptors: number[];
}

/** A vhost-user client for tests. `pump` lets the server, in the same thread, act. */
export class VhostClient {
  readonly fd: number;
  readonly kicks: number[] = [];
  readonly calls: number[] = [];
  readonly errors: number[] = [];

  constructor(
    path: string,
    private readonly pump: () => void,
  ) {
    this.fd = connectTo(path);
  }

  /** Send raw bytes and descriptors. */
  raw(bytes: Uint8Array, descriptors: number[] = []): void {
    send(this.fd, bytes, descriptors);
    this.pump();
  }

  send(request: number, payload: Uint8Array, descriptors: number[] = [], flags = 1): void {
    const message = new Uint8Array(headerLength + payload.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, request, true);
    view.setUint32(4, flags, true);
    view.setUint32(8, payload.length, true);
    message.set(payload, headerLength);
    this.raw(message, descriptors);
  }

  ask(
    request: number,
    payload: Uint8Array = new Uint8Array(0),
    descriptors: number[] = [],
    flags = 1,
  ): Reply {
    this.send(request, payload, descriptors, flags);
    const got = receive(this.fd, 4096);
    if (got === undefined) throw new Error(`no reply to ${request}`);
    const { bytes } = got;
    if (bytes.length < headerLength) throw new Error('connection closed');
    const payloadView = new DataView(bytes.buffer, bytes.byteOffset + headerLength);
    return { payload: payloadView, descriptors: got.descriptors };
  }

  /** Whether the server closed the connection. */
  closed(): boolean {
    this.pump();
    try {
      return receive(this.fd, 4096)?.bytes.length === 0;
    } catch {
      return true;
    }
  }

  /** Agree on features and share memory. */
  begin(features: bigint, memory: TestMemory[]): void {
    this.send(Message.setOwner, new Uint8Array(0));
    this.ask(Message.getFeatures);
    const protocol = this.ask(Message.getProtocolFeatures).payload.getBigUint64(0, true);
    this.send(Message.setProtocolFeatures, u64(protocol));
    this.send(Message.setFeatures, u64(features | (1n << 30n)));
    this.setMemory(memory);
  }

  setMemory(memory: TestMemory[]): void {
    const regions = memory.flatMap((each) => [each.base, each.size, each.userBase, 0]);
    const payload = concat(u32(memory.length, 0), ...regions.map((value) => u64(value)));
    this.send(
      Message.setMemTable,
      payload,
      memory.map((each) => each.fd),
    );
  }

  /** Set up queue `index` and start it. */
  startQueue(index: number, queue: TestQueue, base = 0): void {
    const user = (address: number) => u64(address - queue.memory.base + queue.memory.userBase);
    const kick = (this.kicks[index] ??= createEvent());
    const call = (this.calls[index] ??= createEvent());
    const error = (this.errors[index] ??= createEvent());
    this.send(Message.setVringNum, u32(index, queue.size));
    this.send(Message.setVringBase, u32(index, base));
    this.send(
      Message.setVringAddr,
      concat(u32(index, 0), user(queue.table), user(queue.used), user(queue.available), u64(0)),
    );
    this.send(Message.setVringErr, u64(index), [error]);
    this.send(Message.setVringCall, u64(index), [call]);
    this.send(Message.setVringKick, u64(index), [kick]);
    this.send(Message.setVringEnable, u32(index, 1));
  }

  kick(index: number): void {
    signalEvent(this.kicks[index] ?? -1);
    this.pump();
  }

  close(): void {
    for (const fd of [this.fd, ...this.kicks, ...this.calls, ...this.errors]) closeDescriptor(fd);
    this.pump();
  }
}

export function u32(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}

export function u64(value: number | bigint): Uint8Array {
  return new Uint8Array(new BigUint64Array([BigInt(value)]).buffer);
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
