import { openSync } from 'node:fs';
import { BlockDevice } from '../../attacher/virtio/block/block-device.js';
import { Statistics } from '../../attacher/virtio/block/statistics.js';
import { FileDisk } from '../../attacher/virtio/disk/file-disk.js';
import { MappedMemory, RegionError } from '../../attacher/virtio/memory/mapped-memory.js';
import { Backend } from '../../attacher/virtio/vhost-user/backend.js';
import { MessageReader } from '../../attacher/virtio/vhost-user/message-reader.js';
import { Message, ProtocolError } from '../../attacher/virtio/vhost-user/protocol.js';
import { closeDescriptor, createEvent } from '../../native/linux/event.js';
import { createMemoryFile } from '../../native/linux/memory-file.js';
import type { Received } from '../../native/linux/unix-socket.js';
import { ByteMemory, CheckingEngine } from './byte-memory.js';
import { Random } from './random.js';
import { concat, u32, u64 } from './vhost-client.js';

const requests = Object.values(Message);

/** What came of the cases: messages acted upon, and connections that the server would end. */
export interface MessageFuzzResult {
  handled: number;
  refused: number;
}

/**
 * Feed `cases` connections of random messages to the transport, in random pieces and with random
 * descriptors. Throws when it fails in any way but by refusing the client.
 */
export function fuzzMessages(seed: number, cases: number): MessageFuzzResult {
  const total: MessageFuzzResult = { handled: 0, refused: 0 };
  const disk = new FileDisk(openSync('/dev/null', 'r+'), 64 * 512, false);
  const engine = new CheckingEngine(new ByteMemory(0, 16), 64 * 512);
  const memory = new MappedMemory();
  const device = new BlockDevice({ disk, engine, memory, statistics: new Statistics(), id: '' });
  for (let n = 0; n < cases; n++) runCase(new Random(seed + n), seed + n, device, memory, total);
  disk.close();
  return total;
}

function runCase(
  random: Random,
  seed: number,
  device: BlockDevice,
  memory: MappedMemory,
  total: MessageFuzzResult,
): void {
  const backend = new Backend({
    device,
    memory,
    queues: 2,
    config: new Uint8Array(60),
    watch: () => undefined,
    unwatch: () => undefined,
    notThere: () => undefined,
  });
  const stream = Array.from({ length: 1 + random.below(12) }, () => randomMessage(random));
  const reader = new MessageReader(-1, (_, length) => take(random, stream, length));
  try {
    for (;;) {
      const message = reader.next();
      if (message === 'end') break;
      if (message === undefined) continue;
      try {
        const answer = backend.handle(message);
        if (answer?.descriptor !== undefined) closeDescriptor(answer.descriptor);
        total.handled++;
      } finally {
        message.descriptors.splice(0).forEach(closeDescriptor);
      }
    }
  } catch (error) {
    const fromClient = error instanceof ProtocolError || error instanceof RegionError;
    if (!fromClient && !(error instanceof Error && 'syscall' in error)) {
      throw new Error(`case ${seed}: ${String(error)}`, { cause: error });
    }
    total.refused++;
  } finally {
    backend.close();
    reader.close();
    stream.forEach((left) => left.descriptors.forEach(closeDescriptor));
  }
}

/** The next bytes of the stream, at most `length`, perhaps fewer; descriptors come with the first. */
function take(random: Random, stream: Received[], length: number): Received | undefined {
  const [first] = stream;
  if (first === undefined) return { bytes: new Uint8Array(0), descriptors: [], truncated: false };
  if (random.oneIn(6)) return undefined;
  const count = random.oneIn(4) ? 1 + random.below(length) : length;
  const bytes = first.bytes.subarray(0, count);
  const descriptors = first.descriptors.splice(0);
  first.bytes = first.bytes.subarray(count);
  if (first.bytes.length === 0) stream.shift();
  return { bytes, descriptors, truncated: false };
}

function randomMessage(random: Random): Received {
  const request = random.oneIn(30) ? random.word() : random.pick(requests);
  const payload = random.oneIn(25) ? noise(random) : plausible(random, request);
  const length = random.oneIn(40) ? random.below(64) : payload.length;
  const flags = random.oneIn(40) ? random.word() : 1;
  return {
    bytes: concat(u32(request, flags, length), payload),
    descriptors: randomDescriptors(random, request, payload[0] ?? 0),
    truncated: false,
  };
}

function noise(random: Random): Uint8Array {
  return Uint8Array.from({ length: random.below(80) }, () => random.below(256));
}

/** The numbers a client could send: mostly small, page-aligned or at the edges. */
function anyNumber(random: Random): bigint {
  return random.pick([0n, 1n, 4096n, 65536n, 0x10000000n, 2n ** 52n, 2n ** 63n, 2n ** 64n - 1n]);
}

/** A queue's number; now and then one that does not exist. */
function queue(random: Random): number {
  return random.oneIn(15) ? 2 : random.below(2);
}

function plausible(random: Random, request: number): Uint8Array {
  const region = () =>
    concat(
      u64(random.oneIn(12) ? anyNumber(random) : BigInt(random.below(4)) * 65536n),
      u64(random.oneIn(12) ? anyNumber(random) : 65536n),
      u64(random.oneIn(12) ? anyNumber(random) : BigInt(random.below(4)) * 65536n),
      u64(random.oneIn(12) ? anyNumber(random) : 0n),
    );
  switch (request) {
    case Message.setFeatures:
      return u64(random.pick([1n << 32n, (1n << 30n) | (1n << 29n), anyNumber(random)]));
    case Message.setMemTable: {
      const count = random.below(3);
      return concat(u32(count, 0), ...Array.from({ length: count }, region));
    }
    case Message.addMemReg:
    case Message.remMemReg:
      return concat(u64(0), region());
    case Message.setVringAddr:
      return concat(
        u32(queue(random), 0),
        ...Array.from({ length: 3 }, () => u64(random.below(16) * 4096)),
        u64(0),
      );
    case Message.setVringNum:
      return u32(
        queue(random),
        random.pick([8, 8, 16, 256, 0, 1, 8, 9, 256, 1024, 2048, random.word()]),
      );
    case Message.setVringKick:
    case Message.setVringCall:
    case Message.setVringErr:
      return u64(queue(random) + (random.oneIn(30) ? 256 : 0));
    case Message.getConfig:
      return concat(u32(random.below(80), random.below(200), 0), noise(random));
    case Message.getInflightFd:
    case Message.setInflightFd:
      return concat(
        u64(random.pick([4096, 320, random.word()])),
        u64(random.pick([0, 4096, random.word()])),
        u32(random.below(3) | (random.pick([8, 16, 1024, 40000]) << 16), 0),
      );
    case Message.setVringBase:
    case Message.getVringBase:
    case Message.setVringEnable:
      return u32(queue(random), random.below(3));
    case Message.setProtocolFeatures:
      return u64(anyNumber(random));
    default:
      return new Uint8Array(0);
  }
}

function randomDescriptors(random: Random, request: number, count: number): number[] {
  const memory = () => createMemoryFile('fuzz', 65536 * (1 + random.below(2)));
  const wanted: (() => number)[] = [];
  if (
    [Message.setVringKick, Message.setVringCall, Message.setVringErr].includes(request as never)
  ) {
    wanted.push(createEvent);
  }
  if ([Message.addMemReg, Message.setInflightFd].includes(request as never)) wanted.push(memory);
  if (request === Message.setMemTable) for (let n = count & 7; n > 0; n--) wanted.push(memory);
  if (random.oneIn(40)) wanted.push(random.pick([createEvent, memory]));
  if (random.oneIn(40)) wanted.pop();
  return wanted.map((make) => make());
}
