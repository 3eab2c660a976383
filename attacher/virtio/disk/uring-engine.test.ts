import { spawnSync } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Mapping } from '../../../native/linux/mapping.js';
import { Transfer } from '../block/request.js';
import type { Step } from './io-engine.js';
import { UringEngine } from './uring-engine.js';

/*
 * A FIFO stands for a medium that takes its time: what is read from it comes when the test says so,
 * and a read has begun when it takes from what is there.
 */
let directory: string;
let file: number;
let fifo: number;
let memory: Mapping;
let engine: UringEngine;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'debloat-uring-'));
  writeFileSync(join(directory, 'file'), 'what is in the page cache');
  file = openSync(join(directory, 'file'), 'r');
  spawnSync('mkfifo', [join(directory, 'fifo')]);
  fifo = openSync(join(directory, 'fifo'), 'r+');
  memory = Mapping.anonymous(4096);
  const opened = UringEngine.open();
  if (opened === undefined) throw new Error('this kernel has no io_uring for us');
  engine = opened;
});
afterEach(() => {
  engine.close();
  memory.close();
  closeSync(fifo);
  closeSync(file);
  rmSync(directory, { recursive: true });
});

function read(tag: number, fd: number): Step {
  return {
    ...{ tag, fd, transfer: Transfer.read, position: 0, stepLength: 4, durable: false, done: 0 },
    segments: 1,
    hostAddresses: Float64Array.of(memory.address + tag * 16),
    lengths: Float64Array.of(4),
  };
}

/** All that completes until there were `count`, by tag. */
function completed(count: number): Map<number, number> {
  const results = new Map<number, number>();
  while (results.size < count) {
    engine.submit(true);
    engine.complete((tag, result) => results.set(tag, result));
  }
  return results;
}

it('hands on together what does not wait for the medium', () => {
  for (const tag of [0, 1, 2]) engine.start(read(tag, file));
  expect(completed(3)).toEqual(
    new Map([
      [0, 4],
      [1, 4],
      [2, 4],
    ]),
  );
  expect(engine.slow).toBe(false);
});

it('begins each read at once while the medium is slow, and not after', () => {
  engine.start(read(0, fifo));
  engine.submit(false);
  expect(engine.slow).toBe(true);

  // Nothing is submitted from here on: the second was begun by `start`, or does not end.
  engine.start(read(1, fifo));
  writeSync(fifo, 'one.two.');
  const tags: number[] = [];
  for (let looks = 0; tags.length < 2 && looks < 100_000; looks++) {
    engine.complete((tag) => tags.push(tag));
    fstatSync(fifo); // into the kernel, where what has completed is told
  }
  expect(tags.sort()).toEqual([0, 1]);

  engine.start(read(2, file));
  expect(engine.slow).toBe(false);
  expect(completed(1)).toEqual(new Map([[2, 4]]));
});
