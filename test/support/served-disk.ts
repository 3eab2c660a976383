import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { closeDescriptor, createEvent } from '../../native/linux/event.js';
import { listenAt } from '../../native/linux/unix-socket.js';
import { concat, u32, u64, VhostClient } from './vhost-client.js';
import { TestMemory, TestQueue } from './virtio-driver.js';
import { Statistics } from '../../attacher/virtio/block/statistics.js';
import { CachedReads } from '../../attacher/virtio/disk/cached-reads.js';
import type { Disk } from '../../attacher/virtio/disk/disk.js';
import { FileDisk } from '../../attacher/virtio/disk/file-disk.js';
import type { IoEngine } from '../../attacher/virtio/disk/io-engine.js';
import { PositionedEngine } from '../../attacher/virtio/disk/positioned-engine.js';
import { preloaded } from '../../attacher/virtio/disk/preloaded.js';
import { SessionDisk } from '../../attacher/virtio/disk/session-disk.js';
import { SessionFile } from '../../attacher/virtio/disk/session-file.js';
import { UringEngine } from '../../attacher/virtio/disk/uring-engine.js';
import { ServeLoop } from '../../attacher/virtio/server/serve-loop.js';

export const directory = mkdtempSync(join(tmpdir(), 'debloat-serve-'));
afterAll(() => rmSync(directory, { recursive: true }));

export const allFeatures = (1n << 28n) | (1n << 29n) | (1n << 32n) | (1n << 9n);
export const sectors = 256;
let unique = 0;
export const cleanups: (() => void)[] = [];
afterEach(() =>
  cleanups
    .splice(0)
    .reverse()
    .forEach((clean) => clean()),
);

export function imageFile(length = sectors * 512): string {
  const path = join(directory, `image${unique++}`);
  writeFileSync(
    path,
    Buffer.alloc(length).map((_, n) => ((n >>> 9) * 7 + n) & 255),
  );
  return path;
}

export interface Bench {
  client: VhostClient;
  memory: TestMemory;
  queue: TestQueue;
  statistics: Statistics;
  log: string[];
  loop: ServeLoop;
  pump: () => void;
  connect: () => VhostClient;
  path: string;
  image: string;
}

export const engines: Record<string, { make: () => IoEngine | undefined; mapped: boolean }> = {
  io_uring: { make: () => UringEngine.open(), mapped: false },
  'io_uring and a mapping': { make: () => UringEngine.open(), mapped: true },
  'positioned I/O': { make: () => new PositionedEngine(), mapped: false },
  'positioned I/O and a mapping': { make: () => new PositionedEngine(), mapped: true },
};

export function serve(
  open: (image: string) => Disk,
  options: {
    engine?: IoEngine | undefined;
    /** Copy what is in the page cache out of a mapping. */
    mapped?: boolean;
    queues?: number;
    features?: bigint;
    image?: string;
  } = {},
): Bench {
  const image = options.image ?? imageFile();
  const path = join(directory, `socket${unique++}`);
  const listener = listenAt(path);
  const stop = createEvent();
  const statistics = new Statistics();
  const log: string[] = [];
  const disk = open(image);
  const engine = options.engine ?? UringEngine.open() ?? new PositionedEngine();
  const loop = new ServeLoop({
    disk,
    engine: options.mapped === false ? engine : CachedReads.over(engine, disk.source),
    queues: options.queues ?? 2,
    id: 'the-serial-number',
    listener,
    stop,
    statistics,
    log: (line) => log.push(line),
  });
  const pump = () => {
    for (let n = 0; n < 4; n++) loop.turn(2);
  };
  const connect = () => {
    const client = new VhostClient(path, pump);
    cleanups.push(() => client.close());
    return client;
  };
  cleanups.push(() => {
    loop.close();
    closeDescriptor(listener);
    closeDescriptor(stop);
  });
  const client = connect();
  const memory = new TestMemory(1 << 20);
  const queue = new TestQueue(memory, 16);
  client.begin(options.features ?? allFeatures, [memory]);
  client.startQueue(0, queue);
  return { client, memory, queue, statistics, log, loop, pump, connect, path, image };
}

export const readOnly = (image: string) =>
  new FileDisk(openSync(image, 'r'), readFileSync(image).length, true);
export const writable = (image: string) =>
  new FileDisk(openSync(image, 'r+'), readFileSync(image).length, false);
export const session = (image: string) =>
  new SessionDisk(
    new FileDisk(openSync(image, 'r'), readFileSync(image).length, true),
    SessionFile.temporary(directory, Math.ceil(readFileSync(image).length / 512)),
  );
export const inMemory = (image: string) =>
  preloaded(openSync(image, 'r'), readFileSync(image).length);

/** One request with its data in `pieces`, waited for; its status, data and used length. */
export function request(
  { client, memory, queue, pump }: Bench,
  type: number,
  sector: number,
  data: Uint8Array | number,
  options: { pieces?: number; indirect?: boolean } = {},
): { status: number; data: Uint8Array; used: number } {
  const header = memory.allocate(16);
  memory.view(header, 16).setUint32(0, type, true);
  memory.view(header, 16).setBigUint64(8, BigInt(sector), true);
  const status = memory.allocate(1, 1);
  memory.bytes(status, 1)[0] = 0xee;
  const length = typeof data === 'number' ? data : data.length;
  const start = memory.allocate(Math.max(length, 1), 1);
  if (typeof data !== 'number' && length > 0) memory.bytes(start, length).set(data);
  const pieces = options.pieces ?? 1;
  const size = Math.ceil(length / pieces);
  const write = typeof data === 'number';
  const buffers = [{ address: header, length: 16, write: false }];
  for (let at = 0; at < length; at += size) {
    buffers.push({ address: start + at, length: Math.min(size, length - at), write });
  }
  buffers.push({ address: status, length: 1, write: true });
  const head = options.indirect === true ? queue.indirect(buffers) : queue.chain(buffers);
  queue.offer(head);
  client.kick(0);
  for (let n = 0; n < 100 && queue.usedIndex() === queue.seen; n++) pump();
  const [used] = queue.takeUsed();
  expect(used?.head).toBe(head);
  return {
    status: memory.bytes(status, 1)[0] ?? -1,
    data: length > 0 ? memory.bytes(start, length).slice() : new Uint8Array(0),
    used: used?.length ?? -1,
  };
}

export const IN = 0;
export const OUT = 1;
export const FLUSH = 4;
export const GET_ID = 8;
export const DISCARD = 11;
export const WRITE_ZEROES = 13;

export function range(sector: number, count: number, flags = 0): Uint8Array {
  return concat(u64(sector), u32(count, flags));
}
