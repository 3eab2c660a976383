import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { MmioDriver, ServedWindow, type MemoryKind } from '../../../test/support/mmio-driver.js';
import {
  FLUSH,
  GET_ID,
  imageFile,
  IN,
  OUT,
  readOnly,
  inMemory,
  session,
  writable,
} from '../../../test/support/served-disk.js';
import { TestMemory, TestQueue } from '../../../test/support/virtio-driver.js';
import type { Disk } from '../disk/disk.js';
import { FailedDisk } from '../disk/failed-disk.js';
import { PositionedEngine } from '../disk/positioned-engine.js';
import { UringEngine } from '../disk/uring-engine.js';
import { Register } from './registers.js';

const eventIndex = (1 << 29) >>> 0;
const all = (eventIndex | (1 << 28) | (1 << 9) | (1 << 5)) >>> 0;
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean();
});

interface Setting {
  kind?: MemoryKind;
  engine?: 'io_uring' | 'positioned';
  takeOver?: boolean;
  poll?: boolean;
}

function driverOf(size = 1 << 22): MmioDriver {
  const driver = new MmioDriver(new TestMemory(size));
  cleanups.push(() => driver.close());
  return driver;
}

function serve(driver: MmioDriver, disk: Disk, setting: Setting = {}): ServedWindow {
  const uring = setting.engine === 'positioned' ? undefined : UringEngine.open();
  const served = new ServedWindow(driver, disk, {
    kind: setting.kind ?? 'process',
    takeOver: setting.takeOver ?? false,
    poll: setting.poll ?? false,
    engine: uring ?? new PositionedEngine(),
  });
  cleanups.push(() => served.close());
  return served;
}

/** Gone without a word, as by SIGKILL. */
function kill(served: ServedWindow): void {
  served.abandon();
  cleanups.pop();
}

describe.each([
  { kind: 'mapped', engine: 'io_uring' },
  { kind: 'process', engine: 'io_uring' },
  { kind: 'process', engine: 'positioned' },
] as const)('$kind memory, $engine', (setting) => {
  it.each([
    ['file', readOnly],
    ['in memory', inMemory],
  ] as const)('reads a %s', (_name, open) => {
    const image = imageFile();
    const bytes = readFileSync(image);
    const driver = driverOf();
    const served = serve(driver, open(image), setting);
    expect(driver.probe(all)).toBe(true);
    for (const options of [{}, { indirect: true }, { indirect: true, pieces: 7 }]) {
      const { status, data, used } = served.request(IN, 3, 8192, options);
      expect(status).toBe(0);
      expect(used).toBe(8193);
      expect(Buffer.compare(data, bytes.subarray(3 * 512, 3 * 512 + 8192))).toBe(0);
    }
    expect(Buffer.from(served.request(GET_ID, 0, 20).data).toString()).toBe(
      'the-serial-number\0\0\0',
    );
    expect(served.request(IN, 255, 1024).status).toBe(1);
    expect(served.request(99, 0, 512).status).toBe(2);
    expect(served.statistics.read().violations).toBe(0);
  });

  it('writes, flushes and reads back, more than goes in one step', () => {
    const image = imageFile(1 << 20);
    const driver = driverOf();
    const served = serve(driver, session(image), setting);
    driver.probe(all);
    const data = Buffer.alloc(700_416).map((_, n) => (n * 7 + (n >> 8)) & 255);
    expect(served.request(OUT, 5, data, { indirect: true, pieces: 3 }).status).toBe(0);
    expect(served.request(FLUSH, 0, 0).status).toBe(0);
    const back = served.request(IN, 5, data.length, { indirect: true, pieces: 5 });
    expect(back.status).toBe(0);
    expect(Buffer.compare(back.data, data)).toBe(0);
    expect(served.request(IN, 0, 512).data).toEqual(
      new Uint8Array(readFileSync(image).subarray(0, 512)),
    );
  });

  it('serves many at once, around the ring more than once', () => {
    const image = imageFile();
    const bytes = readFileSync(image);
    const driver = driverOf(1 << 24);
    const served = serve(driver, readOnly(image), setting);
    driver.probe(all, 64);
    for (let round = 0; round < 12; round++) {
      const offered = Array.from({ length: 50 }, (_, n) =>
        driver.offer(IN, (round * 50 + n) % 256, 512, { indirect: true }),
      );
      driver.kick();
      served.pump();
      for (let n = 0; driver.queue?.usedIndex() !== driver.queue?.next && n < 100; n++) {
        served.pump();
      }
      expect(driver.queue?.takeUsed()).toHaveLength(50);
      offered.forEach((each, n) => {
        const sector = (round * 50 + n) % 256;
        expect(each.status()).toBe(0);
        expect(each.data()[9]).toBe(bytes[sector * 512 + 9]);
      });
    }
    expect(served.statistics.read().reads).toBe(600);
  });

  it('interrupts when asked to, and asks to be notified of the next request', () => {
    const driver = driverOf();
    const served = serve(driver, readOnly(imageFile()), setting);
    driver.probe(all);
    served.pump();
    driver.interrupts();
    const ticks = driver.ticks();
    driver.queue?.setUsedEvent(1);
    served.request(IN, 0, 512);
    expect(driver.interrupts()).toBe(0);
    served.request(IN, 0, 512);
    expect(driver.interrupts()).toBe(1);
    expect(driver.ticks()).toBe(ticks + 1);
    expect(driver.queue?.availableEvent()).toBe(2);
  });

  it('does without the event index', () => {
    const driver = driverOf();
    const served = serve(driver, readOnly(imageFile()), { ...setting, poll: true });
    driver.probe(1 << 28);
    for (let n = 0; n < 5; n++) expect(served.request(IN, n, 512).status).toBe(0);
    expect(driver.ticks()).toBe(5);
    expect(driver.interrupts()).toBe(0);
    expect(driver.queue?.availableEvent()).toBe(0);
  });

  it('notices that the driver went, and that one came again, though in the same place', () => {
    const driver = driverOf();
    const served = serve(driver, readOnly(imageFile()), setting);
    driver.probe(all, 16);
    served.request(IN, 0, 512);
    served.request(IN, 1, 512);
    const { queue } = driver;
    driver.remove();
    served.pump();
    expect(served.loop.running).toBe(false);
    driver.probe(all, 16);
    served.request(IN, 2, 512);

    // All of it between two looks of ours.
    const page = driver.queue?.table ?? 0;
    driver.remove();
    driver.memory.bytes(page, 3 * 4096).fill(0);
    const again = new TestQueue(new TestMemory(1 << 22, page), 16, 4096);
    expect(again.table).toBe(page);
    Object.defineProperty(again, 'memory', { value: driver.memory });
    driver.setUpQueue(16, again);
    driver.write(Register.status, 4);
    served.request(IN, 3, 512);
    expect(driver.queue?.usedIndex()).toBe(1);
    expect(served.statistics.read()).toMatchObject({ violations: 0, connections: 3 });
    expect(queue).toBeDefined();
  });

  it('does not touch a queue that was taken away', () => {
    const driver = driverOf();
    const served = serve(driver, readOnly(imageFile()), setting);
    driver.probe(all, 16);
    served.request(IN, 0, 512);
    const { queue } = driver;
    driver.remove();
    const ring = driver.memory.bytes(queue?.table ?? 0, 3 * 4096);
    ring.fill(0xa5);
    driver.kick(); // a late one
    served.pump();
    expect(ring.every((byte) => byte === 0xa5)).toBe(true);
    expect(served.log.at(-1)).toBe('queue reset by the driver');
    expect(served.statistics.read().violations).toBe(0);
  });

  it('does not touch a queue without requests when a kick comes late', () => {
    const driver = driverOf();
    const served = serve(driver, readOnly(imageFile()), setting);
    driver.probe(all, 16);
    served.request(IN, 0, 512);
    const used = driver.memory.bytes(driver.queue?.used ?? 0, 6 + 16 * 8);
    used.fill(0xa5);
    driver.kick();
    served.pump();
    expect(used.every((byte) => byte === 0xa5)).toBe(true);
  });

  it('rests after a violation, says so, and goes on with a new queue', () => {
    const driver = driverOf();
    const served = serve(driver, readOnly(imageFile()), setting);
    driver.probe(all, 16);
    served.request(IN, 0, 512);
    driver.queue?.setAvailableIndex(999);
    driver.kick();
    served.pump();
    expect(served.log.at(-1)).toContain('queue stopped: available index jumped');
    expect(driver.read(Register.status)).toBe(0x40);
    expect(driver.read(Register.interruptStatus)).toBe(3);
    driver.kick();
    served.pump();
    expect(served.statistics.read().violations).toBe(1);
    driver.remove();
    served.pump();
    expect(driver.read(Register.status)).toBe(0);
    expect(driver.read(Register.interruptStatus)).toBe(1);
    driver.probe(all, 16);
    expect(served.request(IN, 0, 512).status).toBe(0);
  });

  it('does nothing twice and loses nothing when it is killed', () => {
    const image = imageFile();
    const driver = driverOf();
    const first = serve(driver, writable(image), setting);
    driver.probe(all, 16);
    for (let n = 0; n < 3; n++) first.request(OUT, n, Buffer.alloc(512, 0x11));
    const { queue } = driver;
    if (queue === undefined) throw new Error('no queue');

    // One is done and not told of, one taken and not done, one not even taken.
    first.window.log(16).take(7);
    const offered = [1, 2, 3].map((value) =>
      driver.offer(OUT, 10 + value, Buffer.alloc(512, value), { indirect: true }),
    );
    const log = first.window.log(16);
    log.giveBack(7);
    log.publish(queue.usedIndex());
    log.take(offered[0]?.head ?? 0);
    log.take(offered[1]?.head ?? 0);
    kill(first);

    const second = serve(driver, writable(image), { ...setting, takeOver: true });
    driver.interrupts();
    second.pump(10);
    expect(
      queue
        .takeUsed()
        .map((each) => each.head)
        .slice(-3),
    ).toEqual(offered.map((each) => each.head));
    expect(offered.map((each) => each.status())).toEqual([0, 0, 0]);
    expect(driver.interrupts()).toBeGreaterThan(0);
    const bytes = readFileSync(image);
    for (const value of [1, 2, 3]) expect(bytes[(10 + value) * 512]).toBe(value);
    expect(queue.usedIndex()).toBe(6);
    expect(queue.availableEvent()).toBe(6);
    expect(second.request(IN, 11, 512).data[0]).toBe(1);
    expect(second.log[0]).toBe('queue of 16 taken over');
  });

  it('fails every request of a disk that is lost, so that the guest lets go of it', () => {
    const driver = driverOf();
    const first = serve(driver, writable(imageFile()), setting);
    driver.probe(all, 16);
    first.request(IN, 0, 512);
    const capacity = driver.read(Register.config);
    const waiting = driver.offer(IN, 1, 512);
    kill(first);
    const second = serve(driver, new FailedDisk(), { ...setting, takeOver: true });
    second.pump(10);
    driver.queue?.takeUsed();
    expect(waiting.status()).toBe(1);
    expect(second.request(OUT, 0, Buffer.alloc(512)).status).toBe(1);
    expect(second.request(FLUSH, 0, 0).status).toBe(1);
    expect(driver.read(Register.config)).toBe(capacity);
    driver.remove();
    second.pump();
    expect(second.loop.running).toBe(false);
  });
});
