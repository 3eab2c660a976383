import { openSync } from 'node:fs';
import { BlockDevice } from '../../attacher/virtio/block/block-device.js';
import { Statistics } from '../../attacher/virtio/block/statistics.js';
import { FileDisk } from '../../attacher/virtio/disk/file-disk.js';
import { MappedRing } from '../../attacher/virtio/queue/mapped-ring.js';
import { SplitQueue } from '../../attacher/virtio/queue/split-queue.js';
import { QueueViolation } from '../../attacher/virtio/queue/violation.js';
import { ByteMemory, CheckingEngine } from './byte-memory.js';
import { Random } from './random.js';

const base = 0x10000;
const memorySize = 0x4000;
const size = 8;
const place = { table: 0, available: 0x100, used: 0x200, indirect: 0x400, data: 0x1000 };
const diskSize = 64 * 512;

/** What came of the cases: how many queues were stopped, and requests answered with each status. */
export interface FuzzResult {
  violations: number;
  answered: number;
  failed: number;
}

/**
 * Run `cases` random queues against the device: descriptors that are nearly right, wrong in one
 * place, or noise. Throws when the device steps outside memory or disk, gives back what it was not
 * given, loses a request of a queue that kept the rules, or fails in any way but a QueueViolation.
 */
export function fuzzQueues(seed: number, cases: number): FuzzResult {
  const memory = new ByteMemory(base, memorySize);
  const engine = new CheckingEngine(memory, diskSize);
  const disk = new FileDisk(openSync('/dev/null', 'r+'), diskSize, false);
  const statistics = new Statistics();
  const total: FuzzResult = { violations: 0, answered: 0, failed: 0 };
  let device: BlockDevice | undefined;
  try {
    for (let n = 0; n < cases; n++) {
      const random = new Random(seed + n);
      // Requests of a queue that was stopped stay taken, as they do in a client's connection.
      device ??= new BlockDevice({ disk, engine, memory, statistics, id: 'fuzz' });
      if (runCase(random, memory, engine, device, total, seed + n)) device = undefined;
    }
  } finally {
    disk.close();
  }
  if (!memory.intact()) throw new Error('bytes around guest memory were touched');
  total.failed = statistics.read().failures;
  return total;
}

function runCase(
  random: Random,
  memory: ByteMemory,
  engine: CheckingEngine,
  device: BlockDevice,
  total: FuzzResult,
  seed: number,
): boolean {
  const offered = writeQueue(random, memory);
  memory.piece = random.oneIn(4) ? 1 + random.below(600) : Infinity;
  let budget = 64;
  engine.outcome = (asked) => {
    if (budget-- < 0) return asked;
    return random.oneIn(4) ? random.pick([0, -5, -11, -28, -95, 1 + random.below(asked)]) : asked;
  };
  const addresses = {
    table: base + place.table,
    available: base + place.available,
    used: base + place.used,
  };
  try {
    const ring = new MappedRing(memory, addresses, size);
    const eventIndex = random.oneIn(2);
    const queue = new SplitQueue(ring, { eventIndex, indirect: !random.oneIn(8), next: 0 });
    const outcome = device.accept(queue, 64);
    device.progress();
    queue.publish();
    queue.arm();
    const answered = ring.usedIndex();
    if (outcome !== 'empty' || answered !== offered || queue.underWay !== 0) {
      throw new Error(`${answered} of ${offered} requests were given back`);
    }
    total.answered += answered;
    return false;
  } catch (error) {
    if (!(error instanceof QueueViolation)) {
      throw new Error(`case ${seed}: ${String(error)}`, { cause: error });
    }
    device.drain();
    total.violations++;
    return false;
  }
}

/** Fill memory with a queue of a few requests; how many the available index offers. */
function writeQueue(random: Random, memory: ByteMemory): number {
  const words = memory.words();
  memory.guest().fill(0, 0, place.data);
  let descriptor = 0;
  let offered = 0;
  for (let n = 1 + random.below(3); n > 0; n--) {
    const buffers = 2 + random.below(3);
    const indirect = random.oneIn(3);
    if (descriptor + (indirect ? 1 : buffers) > size) break;
    const head = descriptor;
    if (indirect) {
      const table = place.indirect + offered * 0x80;
      writeChain(random, words, table, 0, buffers);
      writeDescriptor(words, place.table + head * 16, base + table, buffers * 16, 4, 0);
      descriptor += 1;
    } else {
      writeChain(random, words, place.table, head, buffers);
      descriptor += buffers;
    }
    words.setUint16(place.available + 4 + offered * 2, head, true);
    offered++;
  }
  const jump = random.oneIn(40) ? random.below(65536) : offered;
  words.setUint16(place.available + 2, jump, true);
  for (let harm = random.below(4); harm > 0; harm--) {
    if (random.oneIn(2)) damage(random, words);
  }
  return jump;
}

/** A request in `buffers` descriptors from `first` on: header, data, status; mostly sound. */
function writeChain(
  random: Random,
  words: DataView,
  table: number,
  first: number,
  buffers: number,
): void {
  const header = place.data + random.below(64) * 32;
  const type = random.oneIn(10) ? random.word() : random.pick([0, 0, 0, 1, 1, 4, 8, 11, 13]);
  words.setUint32(header, type, true);
  words.setUint32(header + 8, random.oneIn(8) ? random.word() : random.below(64), true);
  words.setUint32(header + 12, random.oneIn(20) ? random.word() : 0, true);
  const reads = type === 0 || type === 8;
  for (let n = 0; n < buffers; n++) {
    const at = table + (first + n) * 16;
    const last = n === buffers - 1;
    const address = base + place.data + 0x800 + random.below(0x1000);
    const ranges = type === 11 || type === 13;
    const length = ranges ? 16 * (1 + random.below(3)) : 512 * random.below(4);
    if (n === 0) writeDescriptor(words, at, base + header, 16, 1, first + 1);
    else if (last) writeDescriptor(words, at, address, 1, 2, 0);
    else writeDescriptor(words, at, address, length, 1 | (reads ? 2 : 0), first + n + 1);
  }
}

function writeDescriptor(
  words: DataView,
  at: number,
  address: number,
  length: number,
  flags: number,
  next: number,
): void {
  words.setBigUint64(at, BigInt(address), true);
  words.setUint32(at + 8, length, true);
  words.setUint16(at + 12, flags, true);
  words.setUint16(at + 14, next, true);
}

/** Change one thing in a descriptor, in the table or in an indirect one. */
function damage(random: Random, words: DataView): void {
  const table = random.oneIn(2) ? place.table : place.indirect + random.below(3) * 0x80;
  const at = table + random.below(size) * 16;
  switch (random.below(6)) {
    case 0: {
      words.setBigUint64(at, (BigInt(random.word()) << 32n) | BigInt(random.word()), true);
      return;
    }
    case 1: {
      words.setUint32(at + 4, random.word(), true);
      return;
    }
    case 2: {
      words.setUint32(at + 8, random.pick([0, 1, 15, 17, 0xffffffff, random.word()]), true);
      return;
    }
    case 3: {
      words.setUint16(at + 12, random.below(8), true);
      return;
    }
    case 4: {
      words.setUint16(at + 14, random.oneIn(2) ? random.below(size) : random.word(), true);
      return;
    }
    default: {
      words.setUint16(place.available + 4 + random.below(4) * 2, random.word(), true);
      return;
    }
  }
}
