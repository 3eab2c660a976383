import { mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Epoll } from './epoll.js';
import { closeDescriptor, createEvent, isEvent, signalEvent } from './event.js';
import {
  changeAllocation,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  readVectors,
  writeVectors,
} from './file-io.js';
import { address, count, descriptor } from './integers.js';
import { IORING_OP_FSYNC, IORING_OP_READ, IORING_OP_WRITE, IoUring } from './io-uring.js';
import { Mapping } from './mapping.js';
import { createMemoryFile } from './memory-file.js';
import {
  openProcess,
  readProcessMemory,
  takeDescriptor,
  writeProcessMemory,
} from './process-memory.js';
import { errnoName, SystemError } from './system-error.js';
import { acceptFrom, connectTo, listenAt, receive, send } from './unix-socket.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-linux-'));
afterAll(() => rmSync(directory, { recursive: true }));

function vector(list: Mapping, index: number, at: number, length: number): void {
  const view = list.viewAt(0);
  view.setBigUint64(index * 16, BigInt(at), true);
  view.setBigUint64(index * 16 + 8, BigInt(length), true);
}

describe('numbers on their way into C', () => {
  it.each([NaN, 1.5, -1, 2 ** 54, Infinity])('refuses %s', (value) => {
    expect(() => count('length', value)).toThrow(RangeError);
    expect(() => descriptor(value)).toThrow(RangeError);
    expect(() => address(value)).toThrow(RangeError);
    expect(() => Mapping.anonymous(value)).toThrow(RangeError);
  });

  it('refuses addresses in the first page', () => expect(() => address(8)).toThrow(RangeError));
});

describe('system calls', () => {
  it('fail with their errno’s name', () => {
    expect(() => Mapping.ofFile(1_000_000, { offset: 0, length: 4096, writable: false })).toThrow(
      expect.objectContaining({ code: 'EBADF', syscall: 'mmap' }) as Error,
    );
    expect(errnoName(2)).toBe('ENOENT');
    expect(new SystemError('x', 9999).code).toBe('errno 9999');
  });
});

describe('Mapping', () => {
  it('shares a file in memory', () => {
    const fd = createMemoryFile('test', 8192);
    const one = Mapping.ofFile(fd, { offset: 0, length: 8192, writable: true });
    const other = Mapping.ofFile(fd, { offset: 4096, length: 4096, writable: false });
    one.viewAt(0).setUint32(4096, 0xdeadbeef);
    expect(other.viewAt(0).getUint32(0)).toBe(0xdeadbeef);
    closeDescriptor(fd);
    one.close();
    other.close();
  });

  it('leaves views that show zeros after it is closed, and makes no new ones', () => {
    const mapping = Mapping.anonymous(1 << 20);
    const view = mapping.viewAt(0);
    view.setUint8(5, 7);
    mapping.close();
    mapping.close();
    expect(view.getUint8(5)).toBe(0);
    view.setUint8(5, 1);
    expect(() => mapping.viewAt(0)).toThrow(RangeError);
  });

  it('reaches every byte of what is longer than a view may be', () => {
    const length = 6 * 2 ** 30 + 4096;
    using mapping = Mapping.anonymous(length);
    for (const offset of [0, 2 ** 29 - 2, 2 ** 32 - 2, 5 * 2 ** 30 + 12345, length - 4]) {
      mapping.viewAt(offset).setUint32(offset % 2 ** 29, offset % 65521, true);
      expect(mapping.bytes(offset, 2)).toEqual(
        new Uint8Array([(offset % 65521) & 255, (offset % 65521) >> 8]),
      );
    }
    expect(() => mapping.bytes(length - 3, 4)).toThrow(RangeError);
    expect(() => mapping.bytes(0, 0)).toThrow(RangeError);
    expect(() => mapping.viewAt(length + 2 ** 29)).toThrow(RangeError);
  });
});

describe('Epoll and events', () => {
  it('tells an edge once, a level until it is gone', () => {
    const epoll = new Epoll();
    const edge = createEvent();
    const level = createEvent();
    expect(isEvent(edge)).toBe(true);
    expect(isEvent(0)).toBe(false);
    epoll.add(edge, 7, { edge: true });
    epoll.add(level, 0xffffffff, { edge: false });
    expect(epoll.wait(0)).toBe(0);
    signalEvent(edge);
    expect(epoll.wait(0)).toBe(1);
    expect(epoll.token(0)).toBe(7);
    expect(epoll.wait(0)).toBe(0);
    signalEvent(level);
    for (let n = 0; n < 2; n++) {
      expect(epoll.wait(0)).toBe(1);
      expect(epoll.token(0)).toBe(0xffffffff);
    }
    signalEvent(edge);
    expect(epoll.wait(0)).toBe(2);
    epoll.remove(level);
    expect(() => epoll.remove(level)).toThrow('epoll_ctl: ENOENT');
    for (const fd of [edge, level]) closeDescriptor(fd);
    epoll.close();
  });
});

describe('sockets', () => {
  it('carry bytes and descriptors', () => {
    const path = join(directory, 'socket');
    const listener = listenAt(path);
    expect(acceptFrom(listener)).toBeUndefined();
    const client = connectTo(path);
    const server = acceptFrom(listener) ?? -1;
    expect(receive(server, 100)).toBeUndefined();
    const file = createMemoryFile('sent', 4096);
    const event = createEvent();
    send(client, Buffer.from('hello'), [file, event]);
    send(client, Buffer.from('bare'));
    const first = receive(server, 5);
    expect(Buffer.from(first?.bytes ?? []).toString()).toBe('hello');
    expect(first?.descriptors.length).toBe(2);
    expect(isEvent(first?.descriptors[1] ?? -1)).toBe(true);
    expect(receive(server, 100)).toMatchObject({ descriptors: [], truncated: false });
    closeDescriptor(client);
    expect(receive(server, 100)?.bytes.length).toBe(0);
    expect(() => connectTo('/x'.repeat(100))).toThrow(RangeError);
    expect(() => listenAt(path)).toThrow('EADDRINUSE');
    for (const fd of [server, listener, file, event, ...(first?.descriptors ?? [])]) {
      closeDescriptor(fd);
    }
  });

  it('do not wait for a peer that does not read', () => {
    const path = join(directory, 'full');
    const listener = listenAt(path);
    const client = connectTo(path);
    expect(() => {
      for (let n = 0; n < 1000; n++) send(client, new Uint8Array(4096));
    }).toThrow('EAGAIN');
    closeDescriptor(client);
    closeDescriptor(listener);
  });
});

describe('process memory', () => {
  it('is copied both ways, up to the first bad page', () => {
    using ours = Mapping.anonymous(8192);
    using theirs = Mapping.anonymous(8192);
    using lists = Mapping.anonymous(4096);
    theirs.viewAt(0).setUint32(100, 0x01020304);
    vector(lists, 0, ours.address, 8192);
    vector(lists, 1, theirs.address + 100, 4);
    vector(lists, 2, 4096, 4);
    const local = { address: lists.address, length: 1 };
    const remote = { address: lists.address + 16, length: 2 };
    expect(readProcessMemory(process.pid, local, remote)).toBe(4);
    expect(ours.viewAt(0).getUint32(0)).toBe(0x01020304);
    ours.viewAt(0).setUint32(0, 0x0a0b0c0d);
    expect(writeProcessMemory(process.pid, local, { ...remote, length: 1 })).toBe(4);
    expect(theirs.viewAt(0).getUint32(100)).toBe(0x0a0b0c0d);
    expect(() => readProcessMemory(0x7ffffff0, local, remote)).toThrow('ESRCH');
  });

  it('and descriptors are taken through a pidfd', () => {
    const event = createEvent();
    const pidfd = openProcess(process.pid);
    const copy = takeDescriptor(pidfd, event);
    expect(isEvent(copy)).toBe(true);
    for (const fd of [event, pidfd, copy]) closeDescriptor(fd);
  });
});

describe('files', () => {
  const path = join(directory, 'file');

  it('are read and written by vectors, and punched', () => {
    writeFileSync(path, Buffer.alloc(8192, 1));
    const fd = openSync(path, 'r+');
    const bytes = Mapping.anonymous(8192);
    const vectors = Mapping.anonymous(4096);
    bytes.bytes(0, 8192).fill(9);
    vector(vectors, 0, bytes.address, 10);
    vector(vectors, 1, bytes.address + 4096, 10);
    expect(writeVectors(fd, vectors.address, 2, 100, 0)).toBe(20);
    expect(readFileSync(path).subarray(99, 121)).toEqual(
      Buffer.concat([Buffer.from([1]), Buffer.alloc(20, 9), Buffer.from([1])]),
    );
    expect(changeAllocation(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096)).toBe(0);
    expect(readVectors(fd, vectors.address, 2, 90)).toBe(20);
    expect(bytes.bytes(4096, 1)[0]).toBe(0);
    expect(readVectors(fd, vectors.address, 2, 1 << 20)).toBe(0);
    expect(readVectors(1_000_000, vectors.address, 2, 0)).toBe(-9);
    closeDescriptor(fd);
  });

  it('wake whoever waits for an io_uring when they complete later', (context) => {
    const ring = IoUring.open(8);
    if (ring === undefined) {
      context.skip('this kernel has no io_uring for us');
      return;
    }
    writeFileSync(path, Buffer.alloc(1 << 20, 3));
    const fd = openSync(path, 'r+');
    const epoll = new Epoll();
    epoll.add(ring.fd, 1, { edge: false });
    for (let n = 0; n < 3; n++) {
      writeFileSync(path, Buffer.alloc(1 << 20, n)); // so that there is something to wait for
      const sync = { opcode: IORING_OP_FSYNC, fd, address: 0, length: 0, offset: 0, opFlags: 0 };
      ring.push(sync, n);
      ring.submit();
      expect(epoll.wait(0) + epoll.wait(10_000) + epoll.wait(10_000)).toBeGreaterThan(0);
      ring.submit();
      expect([ring.next(), ring.tag, ring.result]).toEqual([true, n, 0]);
    }
    epoll.close();
    ring.close();
    closeDescriptor(fd);
  });

  it('are read and written by io_uring, with failures as results', (context) => {
    const ring = IoUring.open(8);
    if (ring === undefined) {
      context.skip('this kernel has no io_uring for us');
      return;
    }
    writeFileSync(path, Buffer.alloc(8192, 3));
    const fd = openSync(path, 'r+');
    const buffer = Mapping.anonymous(8192);
    const { address } = buffer;
    const operation = { fd, address, length: 4096, offset: 0, opFlags: 0 };
    for (let n = 0; n < ring.entries; n++) {
      expect(ring.push({ ...operation, opcode: IORING_OP_READ }, n)).toBe(true);
    }
    expect(ring.push({ ...operation, opcode: IORING_OP_READ }, 99)).toBe(false);
    ring.submit(ring.entries);
    const seen: number[] = [];
    while (ring.next()) {
      expect(ring.result).toBe(4096);
      seen.push(ring.tag);
    }
    expect(seen.sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(buffer.bytes(4095, 1)[0]).toBe(3);

    buffer.bytes(0, 4096).fill(5);
    ring.push({ ...operation, opcode: IORING_OP_WRITE, offset: 4096 }, 1);
    ring.push({ ...operation, fd: 1_000_000, opcode: IORING_OP_WRITE }, 2);
    ring.submit(2);
    const results = new Map<number, number>();
    while (ring.next()) results.set(ring.tag, ring.result);
    expect(results).toEqual(
      new Map([
        [1, 4096],
        [2, -9],
      ]),
    );
    expect(readFileSync(path)[4096]).toBe(5);

    truncateSync(path, 100);
    ring.push({ ...operation, opcode: IORING_OP_READ }, 3);
    ring.pushFallocate(fd, 0, 0, 8192, 4);
    ring.submit(2);
    while (ring.next()) results.set(ring.tag, ring.result);
    expect(results.get(3)).toBe(100);
    expect(results.get(4)).toBe(0);
    expect(readFileSync(path).length).toBe(8192);
    ring.close();
    closeDescriptor(fd);
    buffer.close();
  });
});
