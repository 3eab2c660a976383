import { describe, expect, it } from 'vitest';
import { fakeElf, type FakeElf } from '../../test/support/fake-elf.js';
import { fakeImage, symlink, type FakeFile } from '../../test/support/fake-image.js';
import { readEnvironment } from './environment.js';
import { ImageFiles } from './image-files.js';
import { Loader } from './loader.js';

/** Where the loader finds the libraries of /app/bin/prog, by name. */
async function search(
  prog: FakeElf,
  files: Record<string, FakeFile>,
  env: string[] = [],
): Promise<Record<string, string>> {
  const image = fakeImage({ '/app/bin/prog': fakeElf(prog), ...files });
  const loader = new Loader(image.tree, new ImageFiles(image), readEnvironment({ Env: env }));
  const object = image.tree.get('/app/bin/prog');
  if (object === undefined) throw new Error('no program');
  const { libraries } = await loader.dependencies(object);
  return Object.fromEntries(libraries.map(({ name, path }) => [name, path]));
}

const needed = ['libx.so.1'];

describe('Loader', () => {
  it('prefers RPATH over LD_LIBRARY_PATH over RUNPATH over ld.so.conf over the default directories', async () => {
    const all = {
      '/rpath/libx.so.1': fakeElf(),
      '/env/libx.so.1': fakeElf(),
      '/runpath/libx.so.1': fakeElf(),
      '/conf/libx.so.1': fakeElf(),
      '/lib/x86_64-linux-gnu/libx.so.1': fakeElf(),
      '/etc/ld.so.conf': 'include /etc/ld.so.conf.d/*.conf\n',
      '/etc/ld.so.conf.d/a.conf': '# comment\n/conf\n',
    };
    const env = ['LD_LIBRARY_PATH=/env'];
    const without = (...gone: string[]): Record<string, FakeFile> =>
      Object.fromEntries(
        Object.entries(all).filter(([path]) => !gone.some((dir) => path.startsWith(dir))),
      );
    expect(await search({ needed, rpath: '/rpath' }, all, env)).toEqual({
      'libx.so.1': '/rpath/libx.so.1',
    });
    expect(await search({ needed, rpath: '/rpath', runpath: '/runpath' }, all, env)).toEqual({
      'libx.so.1': '/env/libx.so.1',
    });
    expect(await search({ needed, runpath: '/runpath' }, all)).toEqual({
      'libx.so.1': '/runpath/libx.so.1',
    });
    expect(await search({ needed }, all)).toEqual({ 'libx.so.1': '/conf/libx.so.1' });
    expect(await search({ needed }, without('/conf'))).toEqual({
      'libx.so.1': '/lib/x86_64-linux-gnu/libx.so.1',
    });
    expect(await search({ needed }, { '/srv/libx.so.1': fakeElf() })).toEqual({});
  });

  it('expands $ORIGIN, ${LIB} and $PLATFORM', async () => {
    const at = (path: string): Record<string, FakeFile> => ({ [path]: fakeElf() });
    const found = async (runpath: string, path: string): Promise<string | undefined> =>
      (await search({ needed, runpath }, at(path)))['libx.so.1'];
    expect(await found('$ORIGIN/../lib', '/app/lib/libx.so.1')).toBe('/app/lib/libx.so.1');
    expect(await found('/opt/${LIB}', '/opt/lib/x86_64-linux-gnu/libx.so.1')).toBe(
      '/opt/lib/x86_64-linux-gnu/libx.so.1',
    );
    expect(await found('/opt/$PLATFORM', '/opt/x86_64/libx.so.1')).toBe('/opt/x86_64/libx.so.1');
  });

  it('passes over a library of another machine or class', async () => {
    const found = await search(
      { needed, runpath: '/a:/b:/c' },
      {
        '/a/libx.so.1': fakeElf({ machine: 183 }),
        '/b/libx.so.1': fakeElf({ bits: 32, machine: 62 }),
        '/c/libx.so.1': fakeElf(),
      },
    );
    expect(found).toEqual({ 'libx.so.1': '/c/libx.so.1' });
  });

  it('finds the builds for newer processors', async () => {
    const image = fakeImage({
      '/prog': fakeElf({ needed }),
      '/usr/lib/libx.so.1': fakeElf(),
      '/usr/lib/glibc-hwcaps/x86-64-v3/libx.so.1': fakeElf(),
    });
    const loader = new Loader(image.tree, new ImageFiles(image), readEnvironment());
    const object = image.tree.get('/prog');
    if (object === undefined) throw new Error('no program');
    const { libraries } = await loader.dependencies(object);
    expect(libraries[0]?.variants).toEqual(['/usr/lib/glibc-hwcaps/x86-64-v3/libx.so.1']);
  });

  it('searches as musl does for a program of musl', async () => {
    const musl = { needed, interpreter: '/lib/ld-musl-x86_64.so.1' };
    const files = { '/usr/local/lib/libx.so.1': fakeElf(), '/opt/libx.so.1': fakeElf() };
    expect(await search(musl, files)).toEqual({ 'libx.so.1': '/usr/local/lib/libx.so.1' });
    expect(await search(musl, { ...files, '/etc/ld-musl-x86_64.path': '/opt\n/lib' })).toEqual({
      'libx.so.1': '/opt/libx.so.1',
    });
  });

  it('ends on libraries that need each other and on ld.so.conf files that include themselves', async () => {
    const image = fakeImage({
      '/lib/liba.so': fakeElf({ needed: ['libb.so'] }),
      '/lib/libb.so': symlink('libb.so.1'),
      '/lib/libb.so.1': fakeElf({ needed: ['liba.so'] }),
      '/etc/ld.so.conf': 'include /etc/ld.so.conf\n/lib\n',
    });
    const loader = new Loader(image.tree, new ImageFiles(image), readEnvironment());
    const object = image.tree.get('/lib/liba.so');
    if (object === undefined) throw new Error('no library');
    const closure = [...(await loader.closure(object))].map(({ path }) => path);
    expect(closure).toEqual(['/lib/liba.so', '/lib/libb.so.1']);
  });

  it('hands DT_RPATH down to libraries of libraries', async () => {
    const image = fakeImage({
      '/app/prog': fakeElf({ needed: ['liba.so'], rpath: '$ORIGIN/lib' }),
      '/app/lib/liba.so': fakeElf({ needed: ['libb.so'] }),
      '/app/lib/libb.so': fakeElf(),
    });
    const loader = new Loader(image.tree, new ImageFiles(image), readEnvironment());
    const object = image.tree.get('/app/prog');
    if (object === undefined) throw new Error('no program');
    expect([...(await loader.closure(object))].map(({ path }) => path)).toContain(
      '/app/lib/libb.so',
    );
  });
});
