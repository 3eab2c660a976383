import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { imageOfBytes, temporaryDirectory } from '../../test/support/image-of-bytes.js';
import { archive, gnuLong, member, pax, type RawHeader } from '../../test/support/raw-tar.js';
import { mergedTar, type MergedTarOptions } from './merged-tar.js';
import type { Entry, Image } from './types.js';

async function merged(image: Image, options?: MergedTarOptions): Promise<Buffer> {
  return buffer(mergedTar(image, options));
}

/** The image that the merged tar of `image` is, as a single layer. */
async function remade(image: Image, options?: MergedTarOptions): Promise<Image> {
  return imageOfBytes(await merged(image, options));
}

/** What must survive of an inode. */
function essence(entry: Entry) {
  return {
    ...entry,
    path: '',
    layer: 0,
    headerOffset: 0,
    dataOffset: 0,
    endOffset: 0,
    plain: undefined,
    synthesized: undefined,
  };
}

async function expectSame(image: Image, again: Image): Promise<void> {
  expect([...again.tree.nodes()].map(({ path }) => path)).toEqual(
    [...image.tree.nodes()].map(({ path }) => path),
  );
  for (const node of image.tree.nodes()) {
    const other = again.tree.get(node.path);
    expect(other?.links).toEqual(node.links);
    expect(other && essence(other.inode)).toEqual(essence(node.inode));
    if (other?.kind !== 'file') continue;
    expect((await again.read(other)).equals(await image.read(node))).toBe(true);
  }
}

const odd = archive(
  member({ name: './', type: '5', mode: 0o555 }),
  member({ name: '/absolute', data: 'a' }),
  gnuLong('L', `${'long/'.repeat(60)}file`),
  gnuLong('K', 'x'.repeat(300)),
  member({ type: '2' }),
  pax([
    ['SCHILY.xattr.security.capability', Buffer.from([1, 0, 0x0a, 0x3d, 0xff])],
    ['LIBARCHIVE.xattr.user.b', Buffer.from('v').toString('base64')],
    ['mtime', '1700000000.999999999'],
    ['uid', '4000000000'],
  ]),
  member({ name: 'capable', mode: 0o4711, data: 'elf' }),
  pax([['mtime', '-0.25']]),
  member({ name: Buffer.from([0x66, 0xfc]), data: 'latin' }),
  member({ name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 }),
  member({ name: 'block', type: '4', major: 259, minor: 70000 }),
  member({ name: 'fifo', type: '6' }),
  member({ name: 'n'.repeat(100), data: 'x' }),
  member({ name: 'zz', type: '1', link: 'capable' }),
  pax([
    ['GNU.sparse.size', '100000'],
    ['GNU.sparse.map', Array.from({ length: 40 }, (_, i) => `${i * 2000},5`).join(',')],
  ]),
  member({ name: 'sparse', data: 'hello'.repeat(40) }),
);

describe('the merged tar', () => {
  it('is the image again, odd kinds and all', async () => {
    const image = await imageOfBytes(odd);
    await expectSame(image, await remade(image));
    expect((await remade(image)).tree.root.entry.mode).toBe(0o555);
  });

  it('is read by GNU tar without a complaint', async () => {
    const image = await imageOfBytes(odd);
    const listing = execFileSync('tar', ['-tv', '--numeric-owner'], {
      input: await merged(image),
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, LC_ALL: 'C' },
    }).toString('latin1');
    const lines = listing.trim().split('\n');
    expect(lines).toHaveLength(image.tree.size + 1);
    expect(listing).toMatch(/-rws--x--x 4000000000\/0 +3 .* capable\n/);
    expect(listing).toMatch(/hrw.* zz link to capable\n/);
    expect(listing).toMatch(/brw.* 259,70000 /);
    expect(listing).toMatch(/100000 .* sparse\n/);
  });

  it('has the same bytes each time', async () => {
    const image = await imageOfBytes(odd, archive(member({ name: 'new/er', data: 'x' })));
    expect((await merged(image)).equals(await merged(image))).toBe(true);
  });

  it('merges layers: what is hidden does not come', async () => {
    const lower = archive(
      member({ name: 'd/', type: '5' }),
      member({ name: 'd/a', data: 'old' }),
      member({ name: 'd/gone', data: 'secret' }),
    );
    const upper = archive(member({ name: 'd/a', data: 'new' }), member({ name: 'd/.wh.gone' }));
    const bytes = await merged(await imageOfBytes(lower, upper));
    expect(bytes.includes('secret')).toBe(false);
    expect(bytes.includes('old')).toBe(false);
    expect((await imageOfBytes(bytes)).tree.size).toBe(2);
  });

  it('carries a member larger than its chunks', async () => {
    const data = Buffer.alloc(3_000_001, 'abcdefg');
    const image = await imageOfBytes(archive(member({ name: 'big', data }), member({ name: 'c' })));
    await expectSame(image, await remade(image));
  });

  it('pads a last member whose padding is missing', async () => {
    const cut = member({ name: 'a', data: 'x' }).subarray(0, 513);
    const image = await imageOfBytes(cut, archive(member({ name: 'b', data: 'y' })));
    await expectSame(image, await remade(image));
  });

  it('ends with the signal', async () => {
    const image = await imageOfBytes(
      archive(member({ name: 'big', data: Buffer.alloc(1_000_000) })),
    );
    const stop = new AbortController();
    stop.abort();
    await expect(merged(image, { signal: stop.signal })).rejects.toThrow(/abort/i);
  });
});

describe('a part of it', () => {
  const tree = archive(
    ...['a', 'a/b', 'a/b/c', 'e'].map((name) =>
      member({ name: `${name}/`, type: '5', mode: 0o711 }),
    ),
    member({ name: 'a/b/c/f', data: 'f' }),
    member({ name: 'e/g', data: 'g' }),
  );

  it('has the parents of what it has, and no other directory', async () => {
    const again = await remade(await imageOfBytes(tree), { include: (n) => n.path === '/a/b/c/f' });
    expect([...again.tree.nodes()].map(({ path }) => path)).toEqual([
      '/a',
      '/a/b',
      '/a/b/c',
      '/a/b/c/f',
    ]);
    expect(again.tree.get('/a/b')?.entry).toMatchObject({ mode: 0o711 });
  });

  it('may be empty', async () => {
    const again = await remade(await imageOfBytes(tree), { include: () => false });
    expect(again.tree.size).toBe(0);
  });

  it.each([
    ['the target', '/m'],
    ['a link before it', '/a'],
    ['a link after it', '/z'],
  ])('of a hardlink group is whole without %s', async (_, left) => {
    const image = await imageOfBytes(
      archive(
        member({ name: 'm', mode: 0o4755, data: 'shared' }),
        member({ name: 'a', type: '1', link: 'm' }),
        member({ name: 'z', type: '1', link: 'm' }),
      ),
    );
    const again = await remade(image, { include: (node) => node.path !== left });
    const rest = ['/a', '/m', '/z'].filter((path) => path !== left);
    const node = again.tree.get(rest[0] ?? '');
    expect(again.tree.size).toBe(2);
    expect(node?.links).toEqual(rest);
    expect(node?.inode).toMatchObject({ mode: 0o4755, size: 6 });
    expect(node && (await again.read(node)).toString()).toBe('shared');
  });
});

describe('changes', () => {
  it('replaces contents and keeps the metadata', async () => {
    const image = await imageOfBytes(
      archive(member({ name: 'db', mode: 0o640, uid: 5, data: 'old' })),
    );
    const rewrites = [{ path: '/db', content: Buffer.from('brand new'), why: '' }];
    const again = await remade(image, { rewrites });
    const node = again.tree.get('/db');
    expect(node?.inode).toMatchObject({ mode: 0o640, uid: 5, size: 9 });
    expect(node && (await again.read(node)).toString()).toBe('brand new');
  });

  it('cuts a rewritten file off from its hardlinks, and a sparse one from its map', async () => {
    const image = await imageOfBytes(
      archive(
        pax([
          ['GNU.sparse.size', '1000'],
          ['GNU.sparse.map', '0,3'],
        ]),
        member({ name: 'a', data: 'old' }),
        member({ name: 'b', type: '1', link: 'a' }),
        member({ name: 'c', type: '1', link: 'a' }),
      ),
    );
    const rewrites = [{ path: '/a', content: Buffer.from('new'), why: '' }];
    const again = await remade(image, { rewrites });
    expect(again.tree.get('/a')?.links).toBeUndefined();
    expect(again.tree.get('/b')?.links).toEqual(['/b', '/c']);
    const [a, b] = ['/a', '/b'].map((path) => again.tree.get(path));
    expect(a && (await again.read(a)).toString()).toBe('new');
    expect(b?.inode.size).toBe(1000);
  });

  it('adds members, of bytes and of ranges of files', async () => {
    const dir = temporaryDirectory();
    const file = join(dir, 'source');
    writeFileSync(file, '0123456789');
    const owner = { mode: 0o600, uid: 1, gid: 2, mtime: 3 };
    const again = await remade(await imageOfBytes(archive(member({ name: 'a' }))), {
      extra: [
        { path: '/.debloat', kind: 'dir', ...owner },
        { path: '/.debloat/bytes', kind: 'file', ...owner, content: Buffer.from('bytes') },
        {
          path: '/.debloat/ranges',
          kind: 'file',
          ...owner,
          content: [
            { file, position: 7, length: 3 },
            { file, position: 0, length: 2 },
          ],
        },
        { path: '/link', kind: 'symlink', link: '.debloat', ...owner },
      ],
    });
    const read = async (path: string) => {
      const node = again.tree.get(path);
      return node && (await again.read(node)).toString();
    };
    expect(await read('/.debloat/bytes')).toBe('bytes');
    expect(await read('/.debloat/ranges')).toBe('78901');
    expect(again.tree.get('/link')?.inode).toMatchObject({ link: '.debloat', mode: 0o600, uid: 1 });
  });
});

it('puts a member that came through a symlinked parent where it belongs', async () => {
  const headers: RawHeader[] = [
    { name: 'bin', type: '2', link: 'usr/bin' },
    { name: 'bin/sh', data: 'sh' },
  ];
  const image = await imageOfBytes(archive(...headers.map(member)));
  const dir = temporaryDirectory();
  mkdirSync(join(dir, 'out'));
  execFileSync('tar', ['-x', '-C', join(dir, 'out')], { input: await merged(image) });
  expect(readdirSync(join(dir, 'out', 'usr/bin'))).toEqual(['sh']);
});
