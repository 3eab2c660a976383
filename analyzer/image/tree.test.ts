import { describe, expect, it } from 'vitest';
import { buildTree } from './tree.js';
import type { Entry, Node, Tree } from './types.js';

const file = (path: string, fields: Partial<Entry> = {}) => entry('file', path, fields);
const dir = (path: string, fields: Partial<Entry> = {}) =>
  entry('dir', path, { mode: 0o700, ...fields });
const symlink = (path: string, link: string) => entry('symlink', path, { link });
const hardlink = (path: string, link: string) => entry('hardlink', path, { link });
const whiteout = (path: string) => entry('whiteout', path);
const opaque = (path: string) => entry('opaque', path);

function entry(kind: Entry['kind'], path: string, fields: Partial<Entry> = {}): Entry {
  return {
    path,
    kind,
    mode: 0o644,
    uid: 1,
    gid: 1,
    mtime: 1,
    size: 0,
    layer: 0,
    headerOffset: 0,
    dataOffset: 512,
    storedSize: 0,
    endOffset: 512,
    ...fields,
  };
}

/** The merged tree of layers, each a list of entries. */
function merge(...layers: Entry[][]): Tree {
  return buildTree(
    layers.map((entries, layer) => ({ entries: entries.map((e) => Object.assign(e, { layer })) })),
  );
}

/** "path kind layer" of every node, in order. */
function list(tree: Tree): string[] {
  return [...tree.nodes()].map(({ path, kind, entry: { layer } }) => `${path} ${kind} ${layer}`);
}

function node(tree: Tree, path: string): Node {
  const found = tree.get(path);
  if (!found) throw new Error(`there is no ${path}`);
  return found;
}

describe('order', () => {
  it('is parents first, siblings by code unit', () => {
    const tree = merge([
      file('/b'),
      file('/a-b'),
      dir('/a'),
      file('/a/z'),
      file('/a/B'),
      file('/a.b'),
    ]);
    expect([...tree.nodes()].map(({ path }) => path)).toEqual([
      '/a',
      '/a/B',
      '/a/z',
      '/a-b',
      '/a.b',
      '/b',
    ]);
    expect(tree.size).toBe(6);
    expect([...(tree.root.children ?? [])].map(([name]) => name)).toEqual(['a', 'a-b', 'a.b', 'b']);
  });
});

describe('layers', () => {
  it('replace files, keep what they do not name', () => {
    expect(list(merge([dir('/d'), file('/d/a'), file('/d/b')], [file('/d/a')]))).toEqual([
      '/d dir 0',
      '/d/a file 1',
      '/d/b file 0',
    ]);
  });

  it('change the metadata of a directory and keep its children', () => {
    const tree = merge([dir('/d'), file('/d/a')], [dir('/d', { mode: 0o711 })]);
    expect(node(tree, '/d').entry.mode).toBe(0o711);
    expect(list(tree)).toEqual(['/d dir 1', '/d/a file 0']);
  });

  it('change the metadata of the root', () => {
    expect(merge([dir('/', { mode: 0o555 })]).root.entry.mode).toBe(0o555);
    expect(merge([file('/a')]).root.entry).toMatchObject({ synthesized: true, mode: 0o755 });
  });

  it.each([
    ['a directory by a file', [dir('/x'), file('/x/a')], [file('/x')], ['/x file 1']],
    ['a directory by a symlink', [dir('/x'), file('/x/a')], [symlink('/x', 'y')], ['/x symlink 1']],
    ['a file by a directory', [file('/x')], [dir('/x'), file('/x/a')], ['/x dir 1', '/x/a file 1']],
    ['a symlink by a directory', [symlink('/x', 'y')], [dir('/x')], ['/x dir 1']],
    ['a file by a fifo', [file('/x')], [entry('fifo', '/x')], ['/x fifo 1']],
  ])('replace %s', (_, lower, upper, expected) => {
    expect(list(merge(lower, upper))).toEqual(expected);
    expect(list(merge([...lower, ...upper]))).toEqual(
      expected.map((line) => line.replace('1', '0')),
    );
  });

  it('within one layer the last of several members counts', () => {
    const tree = merge([
      file('/a', { size: 1 }),
      file('/a', { size: 2 }),
      dir('/d'),
      dir('/d', { mode: 1 }),
    ]);
    expect(node(tree, '/a').entry.size).toBe(2);
    expect(node(tree, '/d').entry.mode).toBe(1);
  });
});

describe('parents that no member brings', () => {
  it('are made up, as 0755 of root', () => {
    const tree = merge([file('/a/b/c')]);
    expect(list(tree)).toEqual(['/a dir 0', '/a/b dir 0', '/a/b/c file 0']);
    expect(node(tree, '/a/b').entry).toMatchObject({
      mode: 0o755,
      uid: 0,
      mtime: 0,
      synthesized: true,
    });
  });

  it('get their metadata from a member that comes later', () => {
    const tree = merge([file('/a/b'), dir('/a', { mode: 0o711 })]);
    expect(node(tree, '/a').entry).toMatchObject({ mode: 0o711 });
    expect(node(tree, '/a').entry.synthesized).toBeUndefined();
  });

  it('are those of a lower layer if it has them', () => {
    const tree = merge([dir('/a', { mode: 0o711 })], [file('/a/b')]);
    expect(node(tree, '/a').entry).toMatchObject({ mode: 0o711, layer: 0 });
  });

  it('replace a file or symlink of a lower layer, as in an overlay mount', () => {
    expect(list(merge([file('/a')], [file('/a/b')]))).toEqual(['/a dir 1', '/a/b file 1']);
    expect(list(merge([symlink('/a', 'c'), dir('/c')], [file('/a/b')]))).toEqual([
      '/a dir 1',
      '/a/b file 1',
      '/c dir 0',
    ]);
  });

  it('are followed where they are symlinks of the same layer', () => {
    const tree = merge([
      symlink('/bin', 'usr/bin'),
      file('/bin/sh'),
      symlink('/x', '/bin/../q'),
      file('/x/y'),
    ]);
    expect(list(tree)).toEqual([
      '/bin symlink 0',
      '/q dir 0',
      '/q/y file 0',
      '/usr dir 0',
      '/usr/bin dir 0',
      '/usr/bin/sh file 0',
      '/x symlink 0',
    ]);
    expect(node(tree, '/usr/bin/sh').entry.path).toBe('/bin/sh');
  });

  it('never lead out of the image', () => {
    expect(list(merge([symlink('/up', '../../..'), file('/up/etc')]))).toEqual([
      '/etc file 0',
      '/up symlink 0',
    ]);
  });

  it('are refused if they are files of the same layer or go in circles', () => {
    expect(() => merge([file('/a'), file('/a/b')])).toThrow(
      /layer 1, entry "\/a\/b": its parent "\/a"/,
    );
    expect(() => merge([symlink('/a', 'b'), symlink('/b', 'a'), file('/a/c')])).toThrow(/loop/);
  });
});

describe('whiteouts', () => {
  it('remove files and whole directories of lower layers', () => {
    const lower = [file('/a'), dir('/d'), dir('/d/e'), file('/d/e/f'), file('/z')];
    expect(list(merge(lower, [whiteout('/a'), whiteout('/d')]))).toEqual(['/z file 0']);
  });

  it.each([
    ['before', (w: Entry, rest: Entry[]) => [w, ...rest]],
    ['after', (w: Entry, rest: Entry[]) => [...rest, w]],
  ])('never remove what their own layer brings, standing %s it', (_, place) => {
    const lower = () => [dir('/d'), file('/d/old'), file('/d/both')];
    const own = () => [dir('/d', { mode: 0o711 }), file('/d/new'), file('/d/both')];
    expect(list(merge(lower(), place(whiteout('/d'), own())))).toEqual([
      '/d dir 1',
      '/d/both file 1',
      '/d/new file 1',
    ]);
    expect(list(merge(lower(), place(opaque('/d'), own())))).toEqual([
      '/d dir 1',
      '/d/both file 1',
      '/d/new file 1',
    ]);
    const implied = merge(lower(), place(whiteout('/d'), [file('/d/new')]));
    expect(list(implied)).toEqual(['/d dir 1', '/d/new file 1']);
    expect(node(implied, '/d').entry.synthesized).toBe(true);
  });

  it('leave a layer above free to bring the path again', () => {
    expect(list(merge([file('/a')], [whiteout('/a')], [file('/a')]))).toEqual(['/a file 2']);
  });

  it('of what is not there do nothing', () => {
    expect(
      list(merge([file('/a')], [whiteout('/b'), whiteout('/c/d'), opaque('/e'), opaque('/a')])),
    ).toEqual(['/a file 0']);
  });

  it('do not follow symlinks', () => {
    expect(
      list(merge([dir('/d'), file('/d/a'), symlink('/s', 'd')], [whiteout('/s/a')])),
    ).toHaveLength(3);
  });

  it('empty the root, but never its own layer', () => {
    expect(list(merge([file('/a')], [file('/b'), opaque('/')]))).toEqual(['/b file 1']);
  });

  it('keep an opaque directory of a lower layer itself', () => {
    expect(list(merge([dir('/d'), file('/d/a')], [opaque('/d')]))).toEqual(['/d dir 0']);
  });
});

describe('hardlinks', () => {
  it('are one inode under several names', () => {
    const tree = merge([
      file('/b', { size: 9, mode: 0o4755 }),
      hardlink('/a', '/b'),
      hardlink('/c', '/a'),
    ]);
    expect(node(tree, '/a')).toMatchObject({
      kind: 'file',
      inode: { size: 9 },
      entry: { kind: 'hardlink' },
    });
    for (const path of ['/a', '/b', '/c']) {
      expect(node(tree, path).links).toEqual(['/a', '/b', '/c']);
      expect(node(tree, path).inode).toBe(node(tree, '/b').entry);
    }
  });

  it('may have their target in a lower layer, even one that the layer removes', () => {
    const across = merge([file('/a', { size: 9 })], [hardlink('/b', '/a')]);
    expect(node(across, '/b').links).toEqual(['/a', '/b']);
    const moved = merge([file('/a', { size: 9 })], [whiteout('/a'), hardlink('/b', '/a')]);
    expect(list(moved)).toEqual(['/b file 1']);
    expect(node(moved, '/b').inode).toMatchObject({ size: 9, layer: 0 });
    expect(node(moved, '/b').links).toBeUndefined();
  });

  it('keep the old inode when their target is replaced', () => {
    const tree = merge([file('/a', { size: 1 }), hardlink('/b', '/a')], [file('/a', { size: 2 })]);
    expect(node(tree, '/a').inode.size).toBe(2);
    expect(node(tree, '/b').inode.size).toBe(1);
    expect(node(tree, '/a').links).toBeUndefined();
    expect(node(tree, '/b').links).toBeUndefined();
  });

  it('of symlinks and devices are such themselves', () => {
    const tree = merge([
      symlink('/s', 'x'),
      hardlink('/t', '/s'),
      entry('char', '/n'),
      hardlink('/m', '/n'),
    ]);
    expect(node(tree, '/t')).toMatchObject({
      kind: 'symlink',
      inode: { link: 'x' },
      links: ['/s', '/t'],
    });
    expect(node(tree, '/m').kind).toBe('char');
  });

  it('reach their target through symlinked directories', () => {
    const tree = merge([dir('/usr'), file('/usr/a'), symlink('/u', 'usr'), hardlink('/b', '/u/a')]);
    expect(node(tree, '/b').links).toEqual(['/b', '/usr/a']);
  });

  it('to themselves change nothing', () => {
    const tree = merge([file('/a'), hardlink('/a', '/a')]);
    expect(node(tree, '/a').entry.kind).toBe('file');
  });

  it('are refused without a target, or to a directory', () => {
    expect(() => merge([file('/a')], [hardlink('/b', '/c')])).toThrow(
      /layer 2, entry "\/b": its hardlink target "\/c" does not exist/,
    );
    expect(() => merge([dir('/d'), hardlink('/b', '/d')])).toThrow(/is a directory/);
  });

  it('of AUFS find their target in its metadata, which is in no tree', () => {
    const tree = merge([
      file('/.wh..wh.plnk/1.2', { size: 7 }),
      file('/.wh..wh.aufs'),
      hardlink('/a', '/.wh..wh.plnk/1.2'),
      hardlink('/b', '/.wh..wh.plnk/1.2'),
    ]);
    expect(list(tree)).toEqual(['/a file 0', '/b file 0']);
    expect(node(tree, '/a')).toMatchObject({ inode: { size: 7 }, links: ['/a', '/b'] });
  });
});

describe('resolve', () => {
  const chain = Array.from({ length: 41 }, (_, i) =>
    symlink(`/l${i}`, i === 0 ? 'usr' : `l${i - 1}`),
  );
  const tree = merge([
    dir('/usr'),
    dir('/usr/lib'),
    file('/usr/lib/libc'),
    symlink('/lib', 'usr/lib'),
    symlink('/abs', '/lib/libc'),
    symlink('/usr/up', '../lib/./libc'),
    symlink('/usr/lib/far', '../../../../../usr'),
    symlink('/dangling', 'nowhere'),
    symlink('/loop', 'loop'),
    ...chain,
  ]);
  const resolve = (path: string, followLast = true) => {
    const result = tree.resolve(path, { followLast });
    return [result.node?.path, result.links.map((link) => link.path)];
  };

  it.each([
    ['/', ['/', []]],
    ['/usr/lib/libc', ['/usr/lib/libc', []]],
    ['/lib/libc', ['/usr/lib/libc', ['/lib']]],
    ['/abs', ['/usr/lib/libc', ['/abs', '/lib']]],
    ['/usr/up', ['/usr/lib/libc', ['/usr/up', '/lib']]],
    ['/lib/..', ['/usr', ['/lib']]],
    ['/../../usr', ['/usr', []]],
    ['/lib/far', ['/usr', ['/lib', '/usr/lib/far']]],
    ['/lib/', ['/usr/lib', ['/lib']]],
    ['/dangling', [undefined, ['/dangling']]],
    ['/nowhere/x', [undefined, []]],
    ['/usr/lib/libc/', [undefined, []]],
    ['/usr/lib/libc/..', [undefined, []]],
    ['/abs/x', [undefined, ['/abs', '/lib']]],
  ])('%s', (path, expected) => {
    expect(resolve(path)).toEqual(expected);
  });

  it('stops before the last component if asked to, unless a slash follows', () => {
    expect(resolve('/lib', false)).toEqual(['/lib', []]);
    expect(resolve('/lib/far', false)).toEqual(['/usr/lib/far', ['/lib']]);
    expect(resolve('/lib/', false)).toEqual(['/usr/lib', ['/lib']]);
  });

  it('gives up after 40 symlinks, as the kernel does', () => {
    expect(resolve('/l39')[0]).toBe('/usr');
    expect(resolve('/l40')[0]).toBeUndefined();
    expect(resolve('/l40')[1]).toHaveLength(40);
    expect(resolve('/loop')[0]).toBeUndefined();
  });
});

it('merges 100,000 entries quickly', () => {
  const entries: Entry[] = [];
  for (let d = 0; d < 1000; d++) {
    entries.push(dir(`/d${d}`));
    for (let f = 0; f < 100; f++) entries.push(file(`/d${d}/f${f}`));
  }
  const start = performance.now();
  const tree = merge(entries);
  expect(tree.size).toBe(101_000);
  expect(performance.now() - start).toBeLessThan(2000);
});
