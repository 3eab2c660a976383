import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { closeDescriptor } from '../../../native/linux/event.js';
import { createMemoryFile } from '../../../native/linux/memory-file.js';
import { IN, readOnly, request, serve, type Bench } from '../../../test/support/served-disk.js';
import { concat, u32, u64 } from '../../../test/support/vhost-client.js';
import { TestQueue, type Descriptor } from '../../../test/support/virtio-driver.js';
import { Message } from '../vhost-user/protocol.js';

/** A queue beside the bench's own, for what is not to touch that one. */
function secondQueue(bench: Bench): TestQueue {
  const queue = new TestQueue(bench.memory, 16);
  bench.client.startQueue(1, queue);
  return queue;
}

/** Buffers of a sound read; `data` and `status` addresses can be had from it. */
function soundRead({ memory }: Bench): [Descriptor, Descriptor, Descriptor] {
  return [
    { address: memory.allocate(16), length: 16 },
    { address: memory.allocate(512), length: 512, write: true },
    { address: memory.allocate(1), length: 1, write: true },
  ];
}

const outside = 0x7fff_ffff_f000;

/** Each makes something available in `queue` that breaks the rules, and the line that tells of it. */
const violations: [string, (bench: Bench, queue: TestQueue) => void, string][] = [
  ['a head beyond the table', (_, queue) => queue.offer(16), 'descriptor 16 in a table of 16'],
  [
    'a next beyond the table',
    (bench, queue) => {
      queue.describe(0, soundRead(bench)[0], 1, 400);
      queue.offer(0);
    },
    'descriptor 400 in a table of 16',
  ],
  [
    'descriptors in a loop',
    (bench, queue) => {
      queue.describe(0, soundRead(bench)[0], 1, 1);
      queue.describe(1, soundRead(bench)[0], 1, 0);
      queue.offer(0);
    },
    'descriptors in a loop',
  ],
  ['an index that jumps', (_, queue) => queue.setAvailableIndex(1000), 'available index jumped'],
  [
    'an indirect table in an indirect table',
    (bench, queue) => {
      const table = bench.memory.allocate(32);
      queue.describe(0, { address: table, length: 32 }, 4, 0, table);
      queue.describe(0, { address: table, length: 32 }, 4, 0);
      queue.offer(0);
    },
    'indirect descriptor in an indirect table',
  ],
  ...[0, 8, 17, 16 * 1025].map((length): (typeof violations)[number] => [
    `an indirect table of ${length} bytes`,
    (bench, queue) => {
      queue.describe(0, { address: bench.memory.allocate(32), length }, 4, 0);
      queue.offer(0);
    },
    `indirect table of ${length} bytes`,
  ]),
  [
    'an indirect table outside memory',
    (_, queue) => {
      queue.describe(0, { address: outside, length: 32 }, 4, 0);
      queue.offer(0);
    },
    'indirect table outside memory',
  ],
  [
    'an indirect table and a next descriptor',
    (bench, queue) => {
      queue.describe(0, { address: bench.memory.allocate(32), length: 32 }, 5, 1);
      queue.offer(0);
    },
    'indirect descriptor with a next one',
  ],
  [
    'a buffer to read after one to write',
    (bench, queue) => {
      const [header, data, status] = soundRead(bench);
      queue.offer(queue.chain([data, header, status]));
    },
    'buffer to read after one to write',
  ],
  [
    'a status in a buffer to read',
    (bench, queue) => {
      const [header, , status] = soundRead(bench);
      queue.offer(queue.chain([header, { ...status, write: false }]));
    },
    'without room for its status',
  ],
  [
    'no header',
    (bench, queue) => queue.offer(queue.chain([soundRead(bench)[2]])),
    'no whole header',
  ],
  [
    'a header too short',
    (bench, queue) => {
      const [header, data, status] = soundRead(bench);
      queue.offer(queue.chain([{ ...header, length: 15 }, data, status]));
    },
    'no whole header',
  ],
  ...(['header', 'data', 'status'] as const).map((what, place): (typeof violations)[number] => [
    `${what} outside memory`,
    (bench, queue) => {
      const buffers = soundRead(bench);
      buffers[place] = { ...buffers[place], address: outside } as Descriptor;
      queue.offer(queue.chain(buffers));
    },
    `${what} outside memory`,
  ]),
  [
    'data that begins in memory and ends outside',
    (bench, queue) => {
      const [header, data, status] = soundRead(bench);
      queue.offer(queue.chain([header, { ...data, length: 0xffff_fe00 }, status]));
    },
    'data outside memory',
  ],
];

describe('a driver that breaks the rules', () => {
  it.each(violations)('loses its queue alone: %s', (_, attack, line) => {
    const bench = serve(readOnly);
    const queue = secondQueue(bench);
    attack(bench, queue);
    bench.client.kick(1);
    expect(bench.log.at(-1)).toContain('queue 1 stopped');
    expect(bench.log.at(-1)).toContain(line);
    expect(bench.statistics.read().violations).toBe(1);
    expect(queue.usedIndex()).toBe(0);
    bench.client.kick(1);
    expect(bench.statistics.read().violations).toBe(1);
    expect(request(bench, IN, 0, 512).status).toBe(0);
  });

  it('gets its queue again by setting it up anew', () => {
    const bench = serve(readOnly);
    bench.queue.offer(16);
    bench.client.kick(0);
    expect(bench.statistics.read().violations).toBe(1);
    bench.client.ask(Message.getVringBase, u32(0, 0));
    const again = { ...bench, queue: new TestQueue(bench.memory, 16) };
    bench.client.startQueue(0, again.queue);
    expect(request(again, IN, 0, 512).status).toBe(0);
  });

  it('gets data in pieces, of no bytes, and across a header that is cut up', () => {
    const bench = serve(readOnly);
    const [header, data, status] = soundRead(bench);
    const head = bench.queue.chain([
      { address: header.address, length: 0 },
      { address: header.address, length: 5 },
      { address: header.address + 5, length: 11 },
      { ...data, length: 0 },
      { ...data, length: 511 },
      { address: status.address, length: 0, write: true },
      { address: bench.memory.allocate(2), length: 2, write: true },
    ]);
    bench.queue.offer(head);
    bench.client.kick(0);
    expect(bench.queue.takeUsed()).toEqual([{ head, length: 513 }]);
    const whole = readFileSync(bench.image);
    expect(Buffer.from(bench.memory.bytes(data.address, 511)).equals(whole.subarray(0, 511))).toBe(
      true,
    );
  });
});

describe('a client that breaks the protocol', () => {
  const header = (request: number, flags: number, length: number) => u32(request, flags, length);
  it.each<[string, (bench: Bench) => void, string]>([
    ['garbage', ({ client }) => client.raw(new Uint8Array(64).fill(0xa7)), 'of version'],
    [
      'an endless message',
      ({ client }) => client.raw(header(1, 1, 0xffff_ffff)),
      'of 4294967295 bytes',
    ],
    ['an unknown message', ({ client }) => client.send(99, new Uint8Array(0)), 'not known'],
    ['a short payload', ({ client }) => client.send(Message.setVringNum, u32(1)), 'too short'],
    ['a long payload', ({ client }) => client.send(Message.setOwner, u32(0)), 'too many'],
    [
      'a queue too many',
      ({ client }) => client.send(Message.setVringEnable, u32(7, 1)),
      'no queue 7',
    ],
    [
      'a queue that runs',
      ({ client }) => client.send(Message.setVringNum, u32(0, 8)),
      'is running',
    ],
    [
      'an odd queue size',
      ({ client }) => client.send(Message.setVringNum, u32(1, 12)),
      '12 entries',
    ],
    [
      'features not offered',
      ({ client }) => client.send(Message.setFeatures, u64(1n << 40n)),
      'not offered',
    ],
    [
      'too few descriptors',
      ({ client }) => client.send(Message.setMemTable, concat(u32(1, 0), new Uint8Array(32))),
      '0 file descriptors',
    ],
    ['no kick', ({ client }) => client.send(Message.setVringKick, u64(1)), 'not one eventfd'],
    [
      'a call that could block',
      ({ client, memory }) => client.send(Message.setVringCall, u64(1), [memory.fd]),
      'not one eventfd',
    ],
    [
      'descriptors nobody asked for',
      ({ client, memory }) => client.send(Message.setOwner, new Uint8Array(0), [memory.fd]),
      'not called for',
    ],
    [
      'far too many descriptors',
      ({ client, memory }) =>
        client.send(
          Message.setOwner,
          new Uint8Array(0),
          Array.from({ length: 40 }, () => memory.fd),
        ),
      'too many file descriptors',
    ],
    [
      'in-flight memory that is too small',
      ({ client }) => {
        const fd = createMemoryFile('small', 64);
        client.send(Message.setInflightFd, concat(u64(64), u64(0), u32(1 | (16 << 16)), u32(0)), [
          fd,
        ]);
        closeDescriptor(fd);
      },
      'in-flight memory',
    ],
  ])('is disconnected: %s', (_, attack, line) => {
    const bench = serve(readOnly);
    attack(bench);
    expect(bench.client.closed()).toBe(true);
    expect(bench.log.join('\n')).toContain(line);
    expect(bench.loop.connected).toBe(false);
  });

  it('is disconnected when it reads no replies', () => {
    const bench = serve(readOnly);
    expect(() => {
      for (let n = 0; n < 5000; n++) bench.client.send(Message.getFeatures, new Uint8Array(0));
    }).toThrow();
    expect(bench.log.some((line) => line.includes('connection closed'))).toBe(true);
  });

  it('may stop in the middle of a message for as long as it likes', () => {
    const bench = serve(readOnly);
    bench.client.raw(header(Message.setVringEnable, 1, 8).subarray(0, 7));
    expect(request(bench, IN, 0, 512).status).toBe(0);
    expect(bench.loop.connected).toBe(true);
  });
});
