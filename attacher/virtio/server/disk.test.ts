import { readFileSync, truncateSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { IoEngine } from '../disk/io-engine.js';
import { concat } from '../../../test/support/vhost-client.js';
import {
  DISCARD,
  engines,
  FLUSH,
  GET_ID,
  imageFile,
  IN,
  OUT,
  range,
  readOnly,
  request,
  inMemory,
  sectors,
  serve,
  session,
  writable,
  WRITE_ZEROES,
} from '../../../test/support/served-disk.js';

describe.each(Object.entries(engines))('a disk served with %s', (name, { make, mapped }) => {
  const engineOrSkip = (skip: (why: string) => never): IoEngine =>
    make() ?? skip(`this kernel has no ${name} for us`);

  it.each([
    ['a read-only file', readOnly],
    ['a writable file', writable],
    ['a session', session],
    ['an image in memory', inMemory],
  ])('is read: %s', (_, open) => {
    const bench = serve(open, { engine: make(), mapped });
    const whole = readFileSync(bench.image);
    for (const [sector, length, pieces, indirect] of [
      [0, 512, 1, false],
      [3, 4096, 5, true],
      [sectors - 1, 512, 7, false],
      [0, sectors * 512, 3, true],
      [9, 0, 1, false],
    ] as const) {
      const got = request(bench, IN, sector, length, { pieces, indirect });
      expect(got.status).toBe(0);
      expect(got.used).toBe(length + 1);
      expect(
        Buffer.from(got.data).equals(whole.subarray(sector * 512, sector * 512 + length)),
      ).toBe(true);
    }
    expect(request(bench, IN, sectors, 512).status).toBe(1);
    expect(request(bench, IN, 2 ** 52, 512).status).toBe(1);
    expect(request(bench, IN, 0, 513).status).toBe(1);
    expect(request(bench, 99, 0, 512).status).toBe(2);
    expect(Buffer.from(request(bench, GET_ID, 0, 20).data).toString()).toBe(
      'the-serial-number\0\0\0',
    );
    expect(request(bench, FLUSH, 0, 0)).toMatchObject({ status: 0, used: 1 });
    expect(bench.statistics.read()).toMatchObject({
      reads: 5,
      failures: 4,
      violations: 0,
      flushes: 1,
    });
    expect(bench.log).toEqual(['client connected']);
  });

  it.each([
    ['a writable file', writable, true],
    ['a session', session, false],
  ])('is written: %s', (_, open, reachesFile) => {
    const bench = serve(open, { engine: make(), mapped });
    const model = Buffer.from(readFileSync(bench.image));
    const before = Buffer.from(model);
    for (const [sector, count] of [
      [1, 1],
      [10, 9],
      [12, 3],
      [100, 64],
    ] as const) {
      const data = Buffer.alloc(count * 512, sector + count);
      data.copy(model, sector * 512);
      expect(request(bench, OUT, sector, data, { pieces: 3, indirect: true })).toMatchObject({
        status: 0,
        used: 1,
      });
    }
    expect(request(bench, DISCARD, 0, concat(range(40, 8), range(200, 3))).status).toBe(0);
    expect(request(bench, WRITE_ZEROES, 0, range(60, 2, 1)).status).toBe(0);
    expect(request(bench, WRITE_ZEROES, 0, range(13, 1)).status).toBe(0);
    for (const [sector, count] of [
      [40, 8],
      [200, 3],
      [60, 2],
      [13, 1],
    ] as const) {
      model.fill(0, sector * 512, (sector + count) * 512);
    }
    expect(request(bench, FLUSH, 0, 0).status).toBe(0);
    const got = request(bench, IN, 0, sectors * 512, { pieces: 2 });
    expect(got.status).toBe(0);
    expect(Buffer.from(got.data).equals(model)).toBe(true);
    expect(readFileSync(bench.image).equals(reachesFile ? model : before)).toBe(true);
    expect(request(bench, OUT, sectors, new Uint8Array(512)).status).toBe(1);
    expect(request(bench, DISCARD, 0, range(sectors - 1, 2)).status).toBe(1);
    expect(request(bench, DISCARD, 0, range(0, 1, 1)).status).toBe(2);
    expect(request(bench, DISCARD, 0, new Uint8Array(15)).status).toBe(1);
  });

  it('is not written where it is read-only', () => {
    const bench = serve(readOnly, { engine: make(), mapped });
    for (const type of [OUT, DISCARD, WRITE_ZEROES]) {
      const data = type === OUT ? new Uint8Array(512) : range(0, 1);
      expect(request(bench, type, 0, data).status).toBe(1);
    }
  });

  it('reads zeros after an image that ends within a sector', () => {
    const bench = serve(readOnly, { engine: make(), mapped, image: imageFile(1000) });
    const got = request(bench, IN, 0, 1024);
    expect(got.status).toBe(0);
    expect(
      Buffer.from(got.data).equals(Buffer.concat([readFileSync(bench.image), Buffer.alloc(24)])),
    ).toBe(true);
  });

  it('answers an I/O error where the file was cut off, and goes on', ({ skip }) => {
    const bench = serve(readOnly, { engine: engineOrSkip(skip), mapped });
    truncateSync(bench.image, 1024);
    expect(request(bench, IN, 0, 512).status).toBe(0);
    expect(request(bench, IN, 1, 1024)).toMatchObject({ status: 1, used: 0 });
    expect(request(bench, IN, 100, 512).status).toBe(1);
    expect(request(bench, IN, 1, 512).status).toBe(0);
  });
});
