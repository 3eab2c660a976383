import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Mapping } from '../../../native/linux/mapping.js';
import { createMemoryFile } from '../../../native/linux/memory-file.js';
import { Transfer } from '../block/request.js';
import { CachedReads } from './cached-reads.js';
import type { IoEngine, Step } from './io-engine.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-cached-'));
afterAll(() => rmSync(directory, { recursive: true }));
const content = Buffer.from(Array.from({ length: 20_000 }, (_, n) => (n * 7919) % 251));

/** Another engine, that notes what it is asked and moves nothing. */
class Other implements IoEngine {
  readonly name = 'positioned';
  readonly fd = 77;
  readonly slow = false;
  asked: number[] = [];
  submissions = 0;
  waited = 0;
  #started: Step[] = [];

  start(step: Step): void {
    this.asked.push(step.tag);
    this.#started.push(step);
  }

  submit(wait: boolean): void {
    this.submissions++;
    if (wait) this.waited++;
  }

  complete(callback: (tag: number, result: number) => void): void {
    for (const step of this.#started.splice(0)) callback(step.tag, -5);
  }

  close(): void {
    // Nothing is open.
  }
}

let fd: number;
let other: Other;
let engine: IoEngine;
let memory: Mapping;
beforeEach(() => {
  const path = join(directory, 'image');
  writeFileSync(path, content);
  fd = openSync(path, 'r+');
  other = new Other();
  engine = CachedReads.over(other, { fd, size: content.length, inMemory: false });
  memory = Mapping.anonymous(2 ** 20);
});
afterEach(() => {
  engine.close();
  closeSync(fd);
  memory.close();
});

function step(tag: number, position: number, lengths: number[], more: Partial<Step> = {}): Step {
  const { done = 0 } = more;
  return {
    tag,
    transfer: Transfer.read,
    fd,
    position,
    stepLength: lengths.reduce((sum, length) => sum + length, 0) - done,
    durable: false,
    done,
    segments: lengths.length,
    // each a page or more from the next
    hostAddresses: Float64Array.from(
      lengths,
      (_, n) => memory.address + tag * 65_536 + n * 8192 + 3,
    ),
    lengths: Float64Array.from(lengths),
    ...more,
  };
}

function run(wait = false): [tag: number, result: number][] {
  const results: [number, number][] = [];
  engine.submit(wait);
  engine.complete((tag, result) => results.push([tag, result]));
  return results;
}

const got = (tag: number, segment: number, length: number) =>
  Buffer.from(memory.bytes(tag * 65_536 + segment * 8192 + 3, length));

describe('reads of a cached image', () => {
  it('are copied, however they are cut, and cost the other engine nothing', () => {
    engine.start(step(1, 5, [100, 5000, 1]));
    engine.start(step(2, 4096, [4096]));
    engine.start(step(3, 1000, [10, 50], { done: 15 }));
    engine.start(step(4, 19_000, [1000]));
    expect(run()).toEqual([
      [1, 5101],
      [2, 4096],
      [3, 45],
      [4, 1000],
    ]);
    expect(got(1, 0, 100)).toEqual(content.subarray(5, 105));
    expect(got(1, 1, 5000)).toEqual(content.subarray(105, 5105));
    expect(got(1, 2, 1)).toEqual(content.subarray(5105, 5106));
    expect(got(2, 0, 4096)).toEqual(content.subarray(4096, 8192));
    expect(got(3, 0, 10)).toEqual(Buffer.alloc(10));
    expect(got(3, 1, 50)).toEqual(Buffer.concat([Buffer.alloc(5), content.subarray(1000, 1045)]));
    expect(got(4, 0, 1000)).toEqual(content.subarray(19_000));
    expect(other).toMatchObject({ asked: [], submissions: 0 });
    expect(engine.fd).toBe(77);
  });

  it('are left to the other engine where they are no reads of it, or not inside', () => {
    engine.start(step(1, 0, [512], { transfer: Transfer.write }));
    engine.start(step(2, 0, [512], { fd: 1000 }));
    engine.start(step(3, 19_900, [512]));
    engine.start(step(4, 0, [512]));
    expect(run()).toEqual([
      [4, 512],
      [1, -5],
      [2, -5],
      [3, -5],
    ]);
    expect(other.asked).toEqual([1, 2, 3]);
    expect(run()).toEqual([]);
  });

  it('are left to the other engine, with no crash, once the file is shorter', () => {
    engine.start(step(3, 12_288, [4096])); // seen in the cache: not asked for again
    expect(run()).toEqual([[3, 4096]]);
    ftruncateSync(fd, 5000);
    engine.start(step(1, 0, [512]));
    engine.start(step(2, 4096, [2048])); // in the page that has lost its end
    engine.start(step(3, 12_288, [4096])); // in one that is gone
    run();
    expect(other.asked).toEqual([1, 2, 3]);
  });

  it('are left to the other engine where the page cache has it not', () => {
    engine.close();
    ftruncateSync(fd, 2 ** 20); // a hole, which nobody has read
    engine = CachedReads.over(other, { fd, size: 2 ** 20, inMemory: false });
    engine.start(step(1, 2 ** 19, [4096]));
    engine.start(step(2, 0, [4096]));
    engine.start(step(3, 32_768, [4096])); // near to what is cached
    engine.start(step(4, 4096, [4096]));
    expect(run()).toEqual([
      [2, 4096],
      [4, 4096],
      [1, -5],
      [3, -5],
    ]);
  });

  it('see what is written to the file meanwhile', () => {
    engine.start(step(1, 0, [512]));
    run();
    writeFileSync(join(directory, 'image'), Buffer.alloc(content.length, 9), { flag: 'r+' });
    engine.start(step(1, 0, [512]));
    run();
    expect(got(1, 0, 512)).toEqual(Buffer.alloc(512, 9));
    expect(other.asked).toEqual([]);
  });

  it('wait for the other engine only when there is nothing to tell yet', () => {
    engine.start(step(1, 0, [512], { transfer: Transfer.write }));
    engine.start(step(2, 0, [512]));
    engine.submit(true);
    expect(other).toMatchObject({ submissions: 1, waited: 0 });
    expect(run()).toHaveLength(2);
    engine.start(step(1, 0, [512], { transfer: Transfer.write }));
    expect(run(true)).toEqual([[1, -5]]);
    expect(other.waited).toBe(1);
  });

  it('are many at once, and more than fit are left to the other engine', () => {
    const pieces = Array.from({ length: 700 }, () => 2);
    const hostAddresses = Float64Array.from(pieces, (_, n) => memory.address + n * 2);
    engine.start(step(1, 100, pieces, { hostAddresses }));
    engine.start(step(2, 100, pieces, { hostAddresses }));
    expect(run()).toEqual([
      [1, 1400],
      [2, -5],
    ]);
    expect(Buffer.from(memory.bytes(0, 1400))).toEqual(content.subarray(100, 1500));
  });
});

describe('reads of an image in memory', () => {
  beforeEach(() => {
    engine.close();
    closeSync(fd);
    fd = createMemoryFile('image', 2 ** 29); // too large for a file, and nearly all of it untouched
    writeSync(fd, content, 0, content.length, 4096);
    engine = CachedReads.over(other, { fd, size: 2 ** 29, inMemory: true });
  });

  it('are all copied', () => {
    engine.start(step(1, 4096, [512, 4096]));
    engine.start(step(2, 2 ** 29 - 4096, [4096])); // never touched: mincore(2) would say no
    expect(run()).toEqual([
      [1, 4608],
      [2, 4096],
    ]);
    expect(got(1, 1, 4096)).toEqual(content.subarray(512, 4608));
    expect(got(2, 0, 4096)).toEqual(Buffer.alloc(4096));
    expect(other.asked).toEqual([]);
  });

  it('are left to the other engine, with no crash, where it is gone nevertheless', () => {
    ftruncateSync(fd, 4096);
    engine.start(step(1, 4096, [512]));
    engine.start(step(2, 0, [512]));
    expect(run()).toEqual([
      [2, 512],
      [1, -5],
    ]);
  });
});

describe('an image that is not mapped', () => {
  it.each([
    ['too large', () => ({ fd, size: 2 ** 40, inMemory: false })],
    [
      'nothing that has mappings',
      () => ({ fd: openSync('/proc/self/status', 'r'), size: 4096, inMemory: false }),
    ],
    ['not there', () => undefined],
  ])('is left to the other engine: %s', (_, source) => {
    expect(CachedReads.over(other, source())).toBe(other);
  });
});
