import { openSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { MmioDriver, ServedWindow, type MemoryKind } from '../../../test/support/mmio-driver.js';
import { Random } from '../../../test/support/random.js';
import { TestMemory, TestQueue } from '../../../test/support/virtio-driver.js';
import { FileDisk } from '../disk/file-disk.js';
import { PositionedEngine } from '../disk/positioned-engine.js';
import { ProcessMemory } from '../memory/process-memory.js';
import { Register, queueSizeMax } from './registers.js';
import { DeviceWindow } from './window.js';

const eventIndex = (1 << 29) >>> 0;
const features = (eventIndex | (1 << 28)) >>> 0;
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean();
});

function serve(kind: MemoryKind): { driver: MmioDriver; served: ServedWindow } {
  const driver = new MmioDriver(new TestMemory(1 << 20));
  const disk = new FileDisk(openSync('/dev/zero', 'r'), 64 * 512, true);
  const served = new ServedWindow(driver, disk, { kind, engine: new PositionedEngine() });
  cleanups.push(() => {
    served.close();
    driver.close();
  });
  return { driver, served };
}

describe.each(['mapped', 'process'] as const)('a hostile driver, %s memory', (kind) => {
  it.each([
    ['queue of 0 entries', Register.queueSize, 0],
    ['queue of 3 entries', Register.queueSize, 3],
    ['queue of 4294967295 entries', Register.queueSize, 0xffff_ffff],
    [`queue of ${queueSizeMax * 2} entries`, Register.queueSize, queueSizeMax * 2],
    ['queue aligned to 0', Register.queueAlign, 0],
    ['queue aligned to 8', Register.queueAlign, 8],
    ['queue aligned to 4097', Register.queueAlign, 4097],
    ['queue aligned to 2147483647', Register.queueAlign, 0x7fff_ffff],
    ['pages of 0 bytes', Register.guestPageSize, 0],
    ['pages of 2147483648 bytes', Register.guestPageSize, 0x8000_0000],
    ['descriptor table outside', Register.queuePage, 1],
    ['descriptor table outside', Register.queuePage, 0xffff_ffff],
    ['outside guest memory', Register.queuePage, (0x4000_0000 + (1 << 20)) / 4096 - 1],
  ])('is refused: %s', (message, register, value) => {
    const { driver, served } = serve(kind);
    driver.probe(features, 16);
    driver.write(register, value);
    driver.write(Register.status, 4);
    served.pump();
    expect(served.log).toHaveLength(1);
    expect(served.log[0]).toContain(message);
    expect(served.loop.running).toBe(false);
    driver.remove();
    driver.probe(features, 16);
    expect(served.request(0, 0, 512).status).toBe(0);
  });

  it('may write what it likes where it can, at any time', () => {
    const random = new Random(kind === 'mapped' ? 1 : 2);
    const { driver, served } = serve(kind);
    const reset = driver.mapping.bytes(0, 4096).slice();
    for (let n = 0; n < 3_000; n++) {
      driver.remove();
      driver.memory.bytes(driver.memory.base, driver.memory.size).fill(0, 0, 0x8000);
      const memory = Object.assign(Object.create(driver.memory) as TestMemory, {
        allocate: new TestMemoryPlaces(driver.memory.base).allocate,
      });
      driver.write(Register.guestPageSize, 4096);
      driver.setUpQueue(16, new TestQueue(memory, 16, 4096));
      driver.write(Register.guestFeatures, random.oneIn(4) ? random.word() : features);
      driver.write(Register.status, 4);
      if (random.oneIn(2)) served.pump(1);
      for (let harm = random.below(4); harm > 0; harm--) {
        const wild = [0, 1, 2, 0xffff, random.word(), random.below(1 << 20)];
        if (random.oneIn(3)) driver.write(random.below(0x50 / 4) * 4, random.pick(wild));
        else {
          const at = driver.memory.base + random.below(0x3000 / 4) * 4;
          driver.memory.view(at, 4).setUint32(0, random.pick(wild), true);
        }
      }
      driver.memory.view(driver.memory.base + 256, 4).setUint16(2, random.below(20), true);
      driver.kick();
      served.pump(1 + random.below(2));
      served.log.splice(0);
      if (n % 100 === 99) {
        // However it was left, a driver that keeps the rules is served.
        served.window.initialize({ sectors: 64, offered: served.loop.offered });
        driver.remove();
        served.pump(1);
        driver.probe(features, 16);
        expect(served.request(0, 1, 512).status).toBe(0);
      }
    }
    // Of the host's page only the log has changed.
    const page = driver.mapping.bytes(0, 4096);
    expect(Buffer.compare(page.subarray(0, 1024), reset.subarray(0, 1024))).toBe(0);
    expect(served.statistics.read().violations).toBeGreaterThan(300);
  }, 60_000);
});

/** The same places again for each queue. */
class TestMemoryPlaces {
  #next: number;

  constructor(base: number) {
    this.#next = base;
  }

  readonly allocate = (length: number, alignment = 16): number => {
    const address = Math.ceil(this.#next / alignment) * alignment;
    this.#next = address + length;
    return address;
  };
}

describe('memory of another process', () => {
  const memory = () => new TestMemory(1 << 16);

  it('spans regions that touch, and refuses what is outside', () => {
    const { mapping } = memory();
    const guest = new ProcessMemory(process.pid, [
      { guestAddress: 0x1000, size: 0x1000, userAddress: mapping.address + 0x4000 },
      { guestAddress: 0x2000, size: 0x1000, userAddress: mapping.address },
    ]);
    mapping.bytes(0x4ffe, 2).set([1, 2]);
    mapping.bytes(0, 2).set([3, 4]);
    expect(guest.open(0x1ffe, 4)).toBe(true);
    expect(guest.view.getUint32(guest.at, true)).toBe(0x04030201);
    expect(guest.openToWrite(0x1fff, 2)).toBe(true);
    guest.view.setUint16(guest.at, 0x0908, true);
    expect(mapping.bytes(0x4fff, 1)[0]).toBe(2);
    expect(guest.flush()).toBe(true);
    expect([mapping.bytes(0x4fff, 1)[0], mapping.bytes(0, 1)[0]]).toEqual([8, 9]);
    for (const address of [0, 0xfff, 0x2fff, 0x3000, 2 ** 52, Infinity, NaN]) {
      expect(guest.open(address, 2)).toBe(false);
      expect(guest.openToWrite(address, 2)).toBe(false);
      expect(guest.contains(address, 2)).toBe(false);
    }
    expect(guest.open(0x1000, 0x10001)).toBe(false);
    guest.close();
  });

  it('says when bytes are not there, or the process is gone', () => {
    const { mapping } = memory();
    const nowhere = new ProcessMemory(process.pid, [
      { guestAddress: 0, size: 0x1000, userAddress: mapping.address },
      { guestAddress: 0x1000, size: 0x1000, userAddress: 4096 },
    ]);
    expect(nowhere.open(0x1000, 8)).toBe(false);
    expect(nowhere.open(0, 8)).toBe(true);
    nowhere.openToWrite(0x1000, 8);
    expect(nowhere.flush()).toBe(false);
    nowhere.openToWrite(0, 8);
    expect(nowhere.flush()).toBe(true);
    nowhere.close();
    const gone = new ProcessMemory(0x7fff_fffe, [
      { guestAddress: 0, size: 0x1000, userAddress: mapping.address },
    ]);
    expect(gone.open(0, 8)).toBe(false);
    gone.close();
  });

  it('refuses regions that cannot be', () => {
    for (const region of [
      { guestAddress: -1, size: 1, userAddress: 4096 },
      { guestAddress: 0, size: 0, userAddress: 4096 },
      { guestAddress: 0, size: NaN, userAddress: 4096 },
      { guestAddress: 0, size: 1, userAddress: 0 },
    ]) {
      expect(() => new ProcessMemory(process.pid, [region])).toThrow(RangeError);
    }
  });
});

it('a window has all its parts in the file, aligned', () => {
  const driver = new MmioDriver(new TestMemory(4096));
  for (const change of [
    { registers: -16 },
    { registers: 8 },
    { readOnly: 4 * 4096 - 16 },
    { inflight: 4 * 4096 - 8 },
    { inflight: 1.5 },
    { tick: 4 * 4096 },
    { tick: 2 },
  ]) {
    expect(() => new DeviceWindow({ ...driver.place, ...change })).toThrow(RangeError);
  }
  driver.close();
});
