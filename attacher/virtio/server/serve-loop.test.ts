import { readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { closeDescriptor, createEvent, signalEvent } from '../../../native/linux/event.js';
import { listenAt } from '../../../native/linux/unix-socket.js';
import {
  allFeatures,
  cleanups,
  directory,
  imageFile,
  IN,
  OUT,
  readOnly,
  request,
  sectors,
  serve,
  writable,
} from '../../../test/support/served-disk.js';
import { concat, u32, u64 } from '../../../test/support/vhost-client.js';
import { TestMemory, TestQueue } from '../../../test/support/virtio-driver.js';
import { Statistics } from '../block/statistics.js';
import { PositionedEngine } from '../disk/positioned-engine.js';
import { Message } from '../vhost-user/protocol.js';
import { ServeLoop } from './serve-loop.js';

describe('the transport', () => {
  it('tells its features, queues and config', () => {
    const { client } = serve(writable, { queues: 4 });
    const features = client.ask(Message.getFeatures).payload.getBigUint64(0, true);
    for (const bit of [2, 6, 9, 12, 13, 14, 28, 29, 30, 32]) {
      expect((features >> BigInt(bit)) & 1n).toBe(1n);
    }
    expect((features >> 5n) & 1n).toBe(0n);
    expect(client.ask(Message.getQueueNum).payload.getBigUint64(0, true)).toBe(4n);
    const config = client.ask(Message.getConfig, concat(u32(0, 60, 0), new Uint8Array(60))).payload;
    expect(config.getUint32(4, true)).toBe(60);
    expect(config.getBigUint64(12, true)).toBe(BigInt(sectors));
    expect(config.getUint16(12 + 34, true)).toBe(4);
  });

  it('stops and starts a queue where it was', () => {
    const bench = serve(readOnly);
    request(bench, IN, 0, 512);
    request(bench, IN, 1, 512);
    const state = bench.client.ask(Message.getVringBase, u32(0, 0)).payload;
    expect(state.getUint32(4, true)).toBe(2);
    bench.client.startQueue(0, bench.queue, 2);
    expect(request(bench, IN, 2, 512).status).toBe(0);
  });

  it('interrupts only when the driver wants it, and asks to be notified', () => {
    const bench = serve(readOnly);
    bench.queue.setUsedEvent(1);
    request(bench, IN, 0, 512);
    expect(bench.statistics.read().interrupts).toBe(0);
    request(bench, IN, 0, 512);
    expect(bench.statistics.read().interrupts).toBe(1);
    expect(bench.queue.availableEvent()).toBe(2);
  });

  it('shows the driver what is done of a batch while it goes on with the rest', () => {
    const shown: number[] = [];
    const driver: { queue?: TestQueue } = {};
    const next = () => {
      shown.push(driver.queue?.usedIndex() ?? -1);
      return false;
    };
    const disk = { sectors, readOnly: true, next, transferred: () => undefined };
    const bench = serve(() => ({ ...disk, close: () => undefined }));
    const { memory, queue } = bench;
    driver.queue = queue;
    for (let n = 0; n < 12; n++) {
      const header = memory.allocate(16);
      memory.view(header, 16).setUint32(0, IN, true);
      const data = { address: memory.allocate(512), length: 512, write: true };
      const status = { address: memory.allocate(1), length: 1, write: true };
      queue.offer(queue.indirect([{ address: header, length: 16 }, data, status]));
    }
    bench.client.kick(0);
    expect(shown).toEqual([...Array<number>(8).fill(0), ...Array<number>(4).fill(8)]);
    expect(queue.takeUsed()).toHaveLength(12);
  });

  it('goes on through memory that comes, goes and moves', () => {
    const bench = serve(readOnly);
    const more = new TestMemory(1 << 16, 0x9_0000_0000, 0x7e00_0000_0000);
    const regionOf = (memory: TestMemory) =>
      concat(u64(0), u64(memory.base), u64(memory.size), u64(memory.userBase), u64(0));
    const acknowledged = (message: number, payload: Uint8Array, fds: number[]) =>
      bench.client.ask(message, payload, fds, 1 | 8).payload.getBigUint64(0, true);
    expect(acknowledged(Message.addMemReg, regionOf(more), [more.fd])).toBe(0n);
    expect(acknowledged(Message.addMemReg, regionOf(more), [more.fd])).toBe(1n);
    const status = more.allocate(1, 1);
    const header = more.allocate(16, 1); // unaligned, as some clients have it
    more.bytes(status, 1)[0] = 9;
    const data = bench.memory.allocate(512);
    bench.queue.offer(
      bench.queue.chain([
        { address: header, length: 16 },
        { address: data, length: 512, write: true },
        { address: status, length: 1, write: true },
      ]),
    );
    bench.client.kick(0);
    expect(more.bytes(status, 1)[0]).toBe(0);
    bench.queue.takeUsed();
    expect(acknowledged(Message.remMemReg, regionOf(more), [])).toBe(0n);
    expect(acknowledged(Message.remMemReg, regionOf(more), [])).toBe(1n);
    expect(request(bench, IN, 1, 512).status).toBe(0);

    bench.client.setMemory([more]); // the ring is nowhere now
    expect(bench.log.at(-1)).toContain('rests');
    bench.client.setMemory([bench.memory, more]);
    expect(request(bench, IN, 5, 512).status).toBe(0);
    expect(bench.statistics.read().violations).toBe(0);
  });

  it('refuses regions that overlap or are not all in their file', () => {
    const { client, memory, log } = serve(readOnly);
    const add = (base: number, size: number, user: number) =>
      client
        .ask(
          Message.addMemReg,
          concat(u64(0), u64(base), u64(size), u64(user), u64(0)),
          [memory.fd],
          9,
        )
        .payload.getBigUint64(0, true);
    expect(add(memory.base + 4096, 4096, 0x1000)).toBe(1n);
    expect(add(0x9_0000_0000, 2 ** 40, 0x1000)).toBe(1n);
    expect(add(0x9_0000_0000, 0, 0x1000)).toBe(1n);
    expect(log.filter((line) => line.startsWith('refused'))).toHaveLength(3);
    expect(client.closed()).toBe(false);
  });

  it('does nothing twice and loses nothing when it is killed', () => {
    const bench = serve(writable);
    const ask = concat(u64(0), u64(0), u32(1 | (16 << 16)), u32(0));
    const inflight = bench.client.ask(Message.getInflightFd, ask);
    const length = inflight.payload.getBigUint64(0, true);
    const share = concat(u64(length), u64(0), u32(1 | (16 << 16)), u32(0));
    bench.client.send(Message.setInflightFd, share, inflight.descriptors);
    request(bench, OUT, 0, Buffer.alloc(512, 1));

    // As a server leaves it that was killed with two requests under way, taken as 5 and then 3.
    const log = Buffer.alloc(Number(length));
    const fd = inflight.descriptors[0] ?? -1;
    readSync(fd, log, 0, log.length, 0);
    expect(log.readUInt16LE(14)).toBe(1);
    const heads = [1, 2].map((value) => {
      const header = bench.memory.allocate(16);
      const data = bench.memory.allocate(512);
      const status = bench.memory.allocate(1);
      bench.memory.view(header, 16).setUint32(0, OUT, true);
      bench.memory.view(header, 16).setBigUint64(8, 7n, true);
      bench.memory.bytes(data, 512).fill(value);
      const head = bench.queue.chain([
        { address: header, length: 16 },
        { address: data, length: 512 },
        { address: status, length: 1, write: true },
      ]);
      bench.queue.offer(head);
      return head;
    });
    bench.client.close();
    cleanups.pop();
    const mark = (head: number | undefined, counter: bigint) => {
      log.writeUInt8(1, 16 + (head ?? 0) * 16);
      log.writeBigUInt64LE(counter, 16 + (head ?? 0) * 16 + 8);
    };
    mark(heads[0], 6n);
    mark(heads[1], 5n);
    writeFileSync(`/proc/self/fd/${fd}`, log);

    const client = bench.connect();
    client.begin(allFeatures, [bench.memory]);
    client.send(Message.setInflightFd, share, [fd]);
    client.startQueue(0, bench.queue, 1);
    expect(bench.queue.takeUsed().map((each) => each.head)).toEqual([heads[1], heads[0]]);
    expect(readFileSync(bench.image)[7 * 512]).toBe(1); // the one taken last, written last
    expect(request({ ...bench, client }, IN, 7, 512).status).toBe(0);
    closeDescriptor(fd);
  });

  it('turns a second client away and takes a new one when the first has gone', () => {
    const bench = serve(readOnly);
    const second = bench.connect();
    expect(second.closed()).toBe(true);
    expect(request(bench, IN, 0, 512).status).toBe(0);
    bench.client.close();
    cleanups.splice(cleanups.length - 2, 1);
    const third = bench.connect();
    third.begin(allFeatures, [bench.memory]);
    third.startQueue(0, bench.queue, 1);
    expect(request({ ...bench, client: third }, IN, 0, 512).status).toBe(0);
  });

  it('acknowledges to a client that goes on where another server had agreed to, as QEMU does', () => {
    const bench = serve(readOnly);
    bench.client.close();
    cleanups.splice(cleanups.length - 1, 1);
    const next = bench.connect();
    const { base, size, userBase, fd } = bench.memory;
    next.send(Message.setFeatures, u64(allFeatures | (1n << 30n)));
    const region = concat(u64(0), u64(base), u64(size), u64(userBase), u64(0));
    const { payload } = next.ask(Message.addMemReg, region, [fd], 9);
    expect(payload.getBigUint64(0, true)).toBe(0n);
    next.startQueue(0, bench.queue);
    expect(request({ ...bench, client: next }, IN, 0, 512).status).toBe(0);
    // Who agrees on features without it gets none.
    next.send(Message.setProtocolFeatures, u64(0));
    expect(() => next.ask(Message.setVringEnable, u32(0, 1), [], 9)).toThrow('no reply');
  });

  it('ends when told to', () => {
    const path = join(directory, 'stop');
    const listener = listenAt(path);
    const stop = createEvent();
    const loop = new ServeLoop({
      disk: readOnly(imageFile()),
      engine: new PositionedEngine(),
      queues: 1,
      id: '',
      listener,
      stop,
      statistics: new Statistics(),
      log: () => undefined,
    });
    expect(loop.turn(0)).toBe(true);
    signalEvent(stop);
    expect(loop.turn(-1)).toBe(false);
    loop.close();
    closeDescriptor(listener);
    closeDescriptor(stop);
  });
});
