import { describe, expect, it } from 'vitest';
import { archive, gnuLong, member, pax } from '../../test/support/raw-tar.js';
import { BufferSource } from './byte-source.js';
import { indexTar } from './tar.js';
import type { Entry } from './types.js';

function index(bytes: Buffer): Entry[] {
  return [...indexTar(new BufferSource(bytes), { index: 3, name: 'layer 4' })];
}

function only(bytes: Buffer): Entry {
  const entries = index(bytes);
  expect(entries).toHaveLength(1);
  return entries[0] ?? ({} as Entry);
}

describe('a plain member', () => {
  const header = { mode: 0o104755, uid: 33, gid: 34, mtime: 1_700_000_000, data: 'hello' };

  it('is indexed with every field and offset', () => {
    const bytes = archive(
      member({ name: 'x/', type: '5' }),
      member({ name: 'usr/bin/x', ...header }),
    );
    expect(index(bytes)[1]).toEqual({
      path: '/usr/bin/x',
      kind: 'file',
      mode: 0o4755,
      uid: 33,
      gid: 34,
      mtime: 1_700_000_000,
      size: 5,
      layer: 3,
      headerOffset: 512,
      dataOffset: 1024,
      storedSize: 5,
      endOffset: 1536,
      plain: true,
    });
  });

  it.each([
    ['./usr/bin/x', '/usr/bin/x', true],
    ['/usr/bin/x', '/usr/bin/x', undefined],
    ['usr//bin/./x', '/usr/bin/x', undefined],
    ['...', '/...', true],
    ['a/..b', '/a/..b', true],
    ['.wh', '/.wh', true],
  ])('named %s is %s', (name, path, plain) => {
    expect(only(archive(member({ name, ...header })))).toMatchObject({ path });
    expect(only(archive(member({ name, ...header }))).plain).toBe(plain);
  });

  it.each([
    ['ustar', { prefix: 'very/long', magic: 'ustar\x0000' }, '/very/long/name'],
    ['GNU, which has other fields there', { prefix: 'very/long', magic: 'ustar  \0' }, '/name'],
    ['v7', { prefix: 'very/long', magic: '' }, '/name'],
  ])('takes a prefix only in %s', (_, fields, path) => {
    expect(only(archive(member({ name: 'name', ...fields }))).path).toBe(path);
  });

  it('may fill its name field to the last byte', () => {
    const name = 'n'.repeat(100);
    expect(only(archive(member({ name })))).toMatchObject({ path: `/${name}`, plain: true });
  });

  it('keeps names that are no UTF-8', () => {
    const name = Buffer.from([0x66, 0xfc, 0x72]);
    expect(only(archive(member({ name }))).path).toBe('/f\udcfcr');
  });

  it('has a signed checksum in archives of old tars', () => {
    const name = Buffer.from([0xff]);
    const signed = (block: Buffer) => {
      block.fill(0x20, 148, 156);
      return new Int8Array(block).reduce((sum, byte) => sum + byte, 0);
    };
    const checksum = signed(member({ name }).subarray(0, 512));
    expect(only(archive(member({ name, checksum }))).path).toBe('/\udcff');
  });
});

describe('kinds', () => {
  it.each([
    ['dir', { type: '5', name: 'd/' }, { kind: 'dir', path: '/d', size: 0 }],
    ['the root', { type: '5', name: './' }, { kind: 'dir', path: '/', plain: true }],
    ['v7 dir', { type: '\0', name: 'd/', magic: '' }, { kind: 'dir', path: '/d' }],
    ['v7 file', { type: '\0', name: 'f', magic: '' }, { kind: 'file' }],
    ['contiguous file', { type: '7', name: 'f', data: 'x' }, { kind: 'file', size: 1 }],
    ['symlink', { type: '2', name: 's', link: '/../../x' }, { kind: 'symlink', link: '/../../x' }],
    [
      'hardlink',
      { type: '1', name: 'h', link: 'a/b' },
      { kind: 'hardlink', link: '/a/b', plain: true },
    ],
    [
      'absolute hardlink',
      { type: '1', name: 'h', link: '/a/../b' },
      { kind: 'hardlink', link: '/b' },
    ],
    ['char', { type: '3', name: 'c', major: 5, minor: 1 }, { kind: 'char', major: 5, minor: 1 }],
    [
      'block',
      { type: '4', name: 'b', major: 8, minor: 16 },
      { kind: 'block', major: 8, minor: 16 },
    ],
    ['fifo', { type: '6', name: 'p' }, { kind: 'fifo' }],
    ['whiteout', { name: 'a/.wh.b' }, { kind: 'whiteout', path: '/a/b' }],
    ['whiteout at the root', { name: '.wh.b' }, { kind: 'whiteout', path: '/b' }],
    ['opaque', { name: 'a/.wh..wh..opq' }, { kind: 'opaque', path: '/a' }],
    ['opaque root', { name: '.wh..wh..opq' }, { kind: 'opaque', path: '/' }],
  ])('%s', (_, header, expected) => {
    expect(only(archive(member(header)))).toMatchObject(expected);
  });

  it('ignores a size on what has no data, as engines do', () => {
    const entries = index(
      archive(member({ name: 's', type: '2', link: 'x', size: 100 }), member({ name: 'f' })),
    );
    expect(entries.map(({ path, plain }) => [path, plain])).toEqual([
      ['/s', undefined],
      ['/f', true],
    ]);
  });
});

describe('extension headers', () => {
  it('GNU long names and links', () => {
    const name = `${'d/'.repeat(90)}f`;
    const link = 'l/'.repeat(120) + 'x';
    const bytes = archive(
      gnuLong('K', link),
      gnuLong('L', name),
      member({ name: name.slice(0, 100), link: link.slice(0, 100), type: '1' }),
    );
    const entry = only(bytes);
    expect(entry).toMatchObject({ path: `/${name}`, link: `/${link}`, headerOffset: 0 });
    expect(entry.plain).toBeUndefined();
    expect(entry.endOffset).toBe(bytes.length - 1024);
  });

  it('pax: names, owners, times', () => {
    const entry = only(
      archive(
        pax([
          ['path', 'päx/name'],
          ['linkpath', 'täx'],
          ['uid', '4294967294'],
          ['gid', '3000000'],
          ['mtime', '1700000000.123456789'],
          ['comment', 'any thing'],
        ]),
        member({ name: 'short', type: '2', link: 'short' }),
      ),
    );
    expect(entry).toMatchObject({
      path: '/päx/name',
      link: 'täx',
      uid: 4294967294,
      gid: 3000000,
      mtimeNanoseconds: 123456789,
    });
    expect(entry.mtime).toBeCloseTo(1700000000.123, 3);
  });

  it.each([
    ['1700000000', 1700000000, undefined],
    ['1.5', 1.5, 500_000_000],
    ['-1', -1, undefined],
    ['-1.25', -1.25, 750_000_000],
    ['1.0000000019', 1, 1],
    ['2.', 2, undefined],
  ])('pax: mtime %s', (text, mtime, nanoseconds) => {
    const entry = only(archive(pax([['mtime', text]]), member({ name: 'f' })));
    expect(entry.mtime).toBeCloseTo(mtime, 6);
    expect(entry.mtimeNanoseconds).toBe(nanoseconds);
  });

  it('pax: an empty value says nothing, the last of several counts', () => {
    const records = [
      ['path', ''],
      ['uid', '1'],
      ['uid', '2'],
    ] as const;
    expect(only(archive(pax(records), member({ name: 'f' })))).toMatchObject({
      path: '/f',
      uid: 2,
    });
  });

  it('pax: the size of the data', () => {
    const bytes = archive(
      pax([['size', '600']]),
      member({ name: 'f', size: 0, data: 'x'.repeat(600) }),
    );
    expect(only(bytes)).toMatchObject({ size: 600, storedSize: 600 });
  });

  it('pax: extended attributes, with bytes that are no text', () => {
    const capability = Buffer.from([1, 0, 0, 2, 0, 0x0a, 0x3d, 0xff]);
    const entry = only(
      archive(
        pax([
          ['SCHILY.xattr.security.capability', capability],
          ['LIBARCHIVE.xattr.user.a%3Db', Buffer.from('value').toString('base64')],
        ]),
        member({ name: 'f' }),
      ),
    );
    expect(entry.xattrs).toEqual(
      new Map([
        ['security.capability', capability],
        ['user.a=b', Buffer.from('value')],
      ]),
    );
  });

  it('pax: a name that is no UTF-8', () => {
    const path = Buffer.from([0x66, 0xfc]);
    expect(only(archive(pax([['path', path]]), member({ name: 'f' }))).path).toBe('/f\udcfc');
  });

  it('a global pax header changes nothing, as in engines', () => {
    const bytes = archive(
      pax([['uid', '7']], 'g'),
      member({ name: 'f' }),
      pax([['uid', '8']]),
      pax([['path', 'g']], 'g'),
      member({ name: 'h' }),
    );
    expect(index(bytes)).toMatchObject([
      { path: '/f', uid: 0, headerOffset: 1024 },
      { path: '/h', uid: 0 },
    ]);
  });

  it('base-256 numbers, negative times too', () => {
    const patch = (block: Buffer) => {
      Buffer.from('8000000000ffffff', 'hex').copy(block, 108); // uid
      Buffer.alloc(12, 0xff).copy(block, 136); // mtime -1
    };
    const entry = only(archive(member({ name: 'f', patch, magic: 'ustar  \0' })));
    expect(entry).toMatchObject({ uid: 0xffffff, mtime: -1 });
  });
});

describe('sparse members', () => {
  it('old GNU, with extension blocks', () => {
    const segments = Array.from({ length: 30 }, (_, i) => [i * 1000, 10] as const);
    const put = (block: Buffer, at: number, part: typeof segments) => {
      part.forEach(([offset, length], i) => {
        block.write(`${offset.toString(8).padStart(11, '0')}\0`, at + 24 * i, 'latin1');
        block.write(`${length.toString(8).padStart(11, '0')}\0`, at + 24 * i + 12, 'latin1');
      });
    };
    const extensions = [segments.slice(4, 25), segments.slice(25)].map((part, i) => {
      const block = Buffer.alloc(512);
      put(block, 0, part);
      block[504] = i === 0 ? 1 : 0;
      return block;
    });
    const header = member({
      name: 'sparse',
      type: 'S',
      size: 300,
      magic: 'ustar  \0',
      patch: (block) => {
        put(block, 386, segments.slice(0, 4));
        block[482] = 1;
        block.write(`${(50_000).toString(8).padStart(11, '0')}\0`, 483, 'latin1');
      },
    });
    const data = Buffer.alloc(512);
    const bytes = archive(header, ...extensions, data, member({ name: 'next' }));
    const [entry, next] = index(bytes);
    expect(entry).toMatchObject({
      size: 50_000,
      storedSize: 300,
      dataOffset: 1536,
      endOffset: 2048,
    });
    expect(entry?.sparse).toHaveLength(30);
    expect(entry?.sparse?.[29]).toEqual({ offset: 29_000, length: 10 });
    expect(next?.path).toBe('/next');
  });

  it.each([
    ['out of order', '10,5,0,5'],
    ['beyond the file', '0,5,96,5'],
    ['overlapping', '0,6,5,4'],
    ['an odd number of values', '0,5,10'],
    ['not numbers', '0,x'],
    ['unlike the data in size', '0,5,10,9'],
  ])('refuses a map that is %s', (_, map) => {
    const records = [
      ['GNU.sparse.size', '100'],
      ['GNU.sparse.map', map],
    ] as const;
    expect(() => index(archive(pax(records), member({ name: 'f', data: '0123456789' })))).toThrow(
      /layer 4, entry "f": .*(sparse|sensible)/,
    );
  });
});

describe('the end', () => {
  it('is two zero blocks: what follows is not looked at', () => {
    const bytes = Buffer.concat([archive(member({ name: 'a' })), member({ name: 'b' })]);
    expect(index(bytes)).toHaveLength(1);
  });

  it('may be missing, in whole or in part, and so may the last padding', () => {
    expect(index(member({ name: 'a', data: 'x' }))).toHaveLength(1);
    expect(index(Buffer.concat([member({ name: 'a' }), Buffer.alloc(512)]))).toHaveLength(1);
    const cut = member({ name: 'a', data: 'x' }).subarray(0, 513);
    expect(only(cut)).toMatchObject({ endOffset: 513, storedSize: 1 });
  });

  it('of an empty layer', () => {
    expect(index(Buffer.alloc(1024))).toEqual([]);
    expect(index(Buffer.alloc(0))).toEqual([]);
  });
});

describe('refuses, naming layer and entry,', () => {
  const long = 'n'.repeat(1024 * 1024 + 1);
  it.each([
    ['a name that climbs', member({ name: '../x' }), /layer 4, entry "\.\.\/x": .*climb/],
    ['.. in the middle of a name', member({ name: 'a/../../x' }), /climb/],
    ['a whiteout that climbs', member({ name: 'a/.wh...' }), /whiteout that names no file/],
    ['a whiteout of its directory', member({ name: 'a/.wh..' }), /whiteout that names no file/],
    ['a whiteout of nothing', member({ name: 'a/.wh.' }), /whiteout that names no file/],
    [
      'a hardlink that climbs',
      member({ name: 'h', type: '1', link: 'a/../../x' }),
      /"h": .*climbs out/,
    ],
    ['a root that is no directory', member({ name: '.' }), /root/],
    ['a NUL in a pax name', Buffer.concat([pax([['path', 'a\0b']]), member({ name: 'f' })]), /NUL/],
    ['a NUL in a long name', Buffer.concat([gnuLong('L', 'a\0b'), member({ name: 'f' })]), /NUL/],
    ['a wrong checksum', member({ name: 'f', checksum: 1 }), /at byte 0: .*checksum/],
    [
      'a size beyond the stream',
      member({ name: 'f', size: 1e9 }),
      /"f": it claims 1000000000 bytes/,
    ],
    ['a negative size', member({ name: 'f', patch: (b) => b.fill(0xff, 124, 136) }), /negative/],
    [
      'an absurd size',
      member({ name: 'f', patch: (b) => b.fill(0xff, 125, 136).writeUInt8(0x80, 124) }),
      /absurd/,
    ],
    ['a number that is none', member({ name: 'f', patch: (b) => b.write('9', 126) }), /octal/],
    [
      'a huge pax header',
      Buffer.concat([pax([['comment', long]]), member({ name: 'f' })]),
      /1048576/,
    ],
    ['a huge long name', Buffer.concat([gnuLong('L', long), member({ name: 'f' })]), /1048576/],
    [
      'a pax record with a wrong length',
      member({ name: 'p', type: 'x', data: '99 path=x\n' }),
      /wrong length/,
    ],
    ['a pax record without =', member({ name: 'p', type: 'x', data: '9 pathx\n\n' }), /malformed/],
    [
      'a pax owner that is no number',
      Buffer.concat([pax([['uid', '-1']]), member({ name: 'f' })]),
      /uid/,
    ],
    ['an extension header at the end', pax([['path', 'x']]), /ends after an extension/],
    ['a truncated header', member({ name: 'f' }).subarray(0, 300), /truncated/],
    ['an unknown kind', member({ name: 'f', type: 'M' }), /type "M"/],
    [
      'a lone zero block amid members',
      Buffer.concat([Buffer.alloc(512), member({ name: 'f' })]),
      /zero block/,
    ],
    ['a symlink to nothing', member({ name: 's', type: '2' }), /symlink to nothing/],
  ])('%s', (_, bytes, message) => {
    expect(() => index(bytes)).toThrow(message);
    expect(() => index(bytes)).toThrow(/^layer 4, /);
  });
});
