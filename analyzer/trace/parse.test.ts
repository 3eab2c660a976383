import { describe, expect, it } from 'vitest';
import { headerBytes, recordBytes } from '../../test/support/raw-trace.js';
import { DebloatError } from '../errors.js';
import { parseRawTrace } from './parse.js';

const file = (...records: Buffer[]) => Buffer.concat([headerBytes({ events: 7 }), ...records]);

describe('parseRawTrace', () => {
  it('reads records and counters', () => {
    const header = headerBytes({
      events: 9,
      lost: 2,
      flags: 1,
      others: 3,
      unreadable: [
        ['httpd', 4],
        ['exactly15bytes!', 1],
      ],
    });
    const raw = parseRawTrace([
      Buffer.concat([header, recordBytes(0, 0, 'sh', '/bin/ls'), recordBytes(8, 2, 'mkdir', '/')]),
    ]);
    expect(raw).toEqual({
      records: [
        { kind: 'exec', path: '/bin/ls', by: 'sh', outcome: 'found' },
        { kind: 'change', path: '/', by: 'mkdir', outcome: 'created' },
      ],
      events: 9,
      lost: 2,
      noNewPrivileges: true,
      unreadable: new Map([
        ['httpd', 4],
        ['exactly15bytes!', 1],
        ['others', 3],
      ]),
    });
  });

  it('keeps bytes that are not UTF-8', () => {
    const path = Buffer.from('/caf\xe9', 'latin1');
    expect(parseRawTrace([file(recordBytes(1, 0, 'sh', path))]).records[0]?.path).toBe(
      '/caf\udce9',
    );
  });

  it('puts files in the order in which they were begun and adds their counters up', () => {
    const begun = (started: number, path: string) =>
      Buffer.concat([
        headerBytes({ events: 1, started, unreadable: [['x', 1]] }),
        recordBytes(1, 0, '', path),
      ]);
    const raw = parseRawTrace([begun(30, '/c'), begun(10, '/a'), begun(20, '/b')]);
    expect(raw.records.map((record) => record.path)).toEqual(['/a', '/b', '/c']);
    expect(raw.events).toBe(3);
    expect(raw.unreadable).toEqual(new Map([['x', 3]]));
  });

  it('passes over a last record that was cut short, at every length', () => {
    const whole = recordBytes(1, 0, 'cat', '/etc/first');
    const last = recordBytes(1, 0, 'cat', '/etc/last');
    for (let cut = 0; cut < last.length; cut++) {
      const raw = parseRawTrace([file(whole, last.subarray(0, cut))]);
      expect(raw.records.map((record) => record.path)).toEqual(['/etc/first']);
    }
    expect(parseRawTrace([file(whole, Buffer.alloc(100))]).records).toHaveLength(1);
  });

  it('passes over a file whose sensor died before it began', () => {
    const empty = {
      records: [],
      events: 0,
      lost: 0,
      unreadable: new Map(),
      noNewPrivileges: false,
    };
    expect(
      parseRawTrace([Buffer.alloc(0), Buffer.alloc(4096), headerBytes().subarray(0, 100)]),
    ).toEqual(empty);
  });

  it.each([
    ['another magic', headerBytes({ magic: 'DBLTRAPS' })],
    ['another version', headerBytes({ version: 2 })],
    ['an absurd counter', headerBytes({ events: 2 ** 60 })],
    ['an unknown kind', file(recordBytes(9, 0, 'sh', '/a'))],
    ['an unknown outcome', file(recordBytes(1, 3, 'sh', '/a'))],
    ['a relative path', file(recordBytes(1, 0, 'sh', 'etc'))],
    ['a path that climbs', file(recordBytes(1, 0, 'sh', '/a/../b'))],
    ['a NUL', file(recordBytes(1, 0, 'sh', '/a\0b'))],
    ['no path', file(recordBytes(1, 0, 'sh', ''))],
    ['a record of two bytes', file(Buffer.from([2, 0, 1, 0, 0]))],
    ['a name longer than the record', file(Buffer.from([7, 0, 1, 0, 200, 47, 47]))],
  ])('refuses %s', (_, bytes) => {
    expect(() => parseRawTrace([bytes])).toThrow(DebloatError);
  });

  it('survives any bytes', () => {
    let seed = 1;
    const random = () => (seed = (seed * 48271) % 2147483647);
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(Array.from({ length: random() % 200 }, () => random() & 255));
      try {
        for (const { path } of parseRawTrace([file(bytes)]).records)
          expect(path.startsWith('/')).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(DebloatError);
      }
    }
  });
});
