import { describe, expect, it } from 'vitest';
import { fakeElf } from '../../../test/support/fake-elf.js';
import {
  fakeImage,
  fakeTrace,
  program,
  symlink,
  type FakeFile,
} from '../../../test/support/fake-image.js';
import { computeKeepSet, type KeepResult } from '../compute.js';
import type { Policy } from '../types.js';

const elf = program(fakeElf());

async function compute(
  files: Record<string, FakeFile>,
  uses: Record<string, string>,
  policy: Policy = 'strict',
): Promise<KeepResult & { names: string[]; content: (path: string) => string | undefined }> {
  const result = await computeKeepSet(fakeImage(files), fakeTrace(uses), { policy });
  return {
    ...result,
    names: result.packages.after.map(({ name }) => name),
    content: (path) => result.rewrites.find((rewrite) => rewrite.path === path)?.content.toString(),
  };
}

const status = (name: string, more = ''): string =>
  `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\n${more}Description: a ${name}\n with more\n\n`;

const dpkg: Record<string, FakeFile> = {
  '/bin': symlink('usr/bin'),
  '/usr/bin/redis-server': elf,
  '/usr/bin/redis-cli': elf,
  '/usr/bin/perl': elf,
  '/etc/redis/redis.conf': 'port 6379\n',
  '/etc/redis/unused.conf': 'x',
  '/usr/share/doc/redis-server/copyright': 'BSD',
  '/usr/share/doc/perl/copyright': 'Artistic',
  '/usr/share/redis/help.lua': 'x',
  '/var/lib/dpkg/status':
    status(
      'redis-server',
      'Source: redis (7)\nDepends: redis-tools (= 1), libc6\nConffiles:\n /etc/redis/redis.conf 0123\n /etc/redis/unused.conf 4567\n',
    ) +
    status('redis-tools', 'Source: redis\n') +
    status('perl', 'Essential: yes\n') +
    'Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n',
  '/var/lib/dpkg/info/redis-server.list':
    '/.\n/bin\n/bin/redis-server\n/etc\n/etc/redis\n/etc/redis/redis.conf\n/etc/redis/unused.conf\n/usr/share/redis/help.lua\n/usr/share/doc/redis-server/copyright\n',
  '/var/lib/dpkg/info/redis-server.md5sums': `${'a'.repeat(32)}  bin/redis-server\n${'b'.repeat(32)}  usr/share/redis/help.lua\n`,
  '/var/lib/dpkg/info/redis-server.postinst': '#!/bin/sh\n',
  '/var/lib/dpkg/info/redis-tools:amd64.list': '/usr/bin/redis-cli\n',
  '/var/lib/dpkg/info/perl.list': '/usr/bin/perl\n/usr/share/doc/perl/copyright\n',
};
const uses = { '/usr/bin/redis-server': 'exec sh', '/etc/redis/redis.conf': 'open redis-server' };

describe('dpkg', () => {
  it('lists only packages that still have files, with only those files', async () => {
    const { names, packages, content } = await compute(dpkg, uses);
    expect(packages.before.map(({ name }) => name)).toEqual([
      'redis-server',
      'redis-tools',
      'perl',
    ]);
    expect(names).toEqual(['redis-server']);
    const text = content('/var/lib/dpkg/status');
    expect(text).toContain('Package: redis-server\n');
    expect(text).not.toContain('Package: perl');
    expect(text).toContain(
      'Conffiles:\n /etc/redis/redis.conf 0123\nDescription: a redis-server\n with more\n\n',
    );
    expect(content('/var/lib/dpkg/info/redis-server.list')).toBe(
      '/.\n/bin\n/bin/redis-server\n/etc\n/etc/redis\n/etc/redis/redis.conf\n',
    );
    expect(content('/var/lib/dpkg/info/redis-server.md5sums')).toBe(
      `${'a'.repeat(32)}  bin/redis-server\n`,
    );
  });

  it('lets info files of removed packages and maintainer scripts go', async () => {
    const { keepSet } = await compute(dpkg, uses);
    expect(keepSet.reasons.has('/var/lib/dpkg/info/redis-server.list')).toBe(true);
    expect(keepSet.reasons.has('/var/lib/dpkg/info/redis-server.postinst')).toBe(false);
    expect(keepSet.reasons.has('/var/lib/dpkg/info/perl.list')).toBe(false);
  });

  it('above strict keeps the program’s package, the other programs of its source, and copyrights', async () => {
    const { names, keepSet } = await compute(dpkg, uses, 'balanced');
    expect(names).toEqual(['redis-server', 'redis-tools']);
    for (const path of [
      '/usr/bin/redis-cli',
      '/usr/share/redis/help.lua',
      '/usr/share/doc/redis-server/copyright',
    ])
      expect([path, keepSet.reasons.has(path)]).toEqual([path, true]);
    expect(keepSet.reasons.has('/usr/bin/perl')).toBe(false);
    expect(keepSet.reasons.has('/usr/share/doc/perl/copyright')).toBe(false);
  });

  it('leaves out programs of the package that want an interpreter which nothing else does', async () => {
    const list = '/var/lib/dpkg/info/redis-tools:amd64.list';
    const files = {
      ...dpkg,
      [list]: '/usr/bin/redis-cli\n/usr/bin/redis-plot\n/usr/bin/redis-sum\n',
      '/usr/bin/redis-plot': program('#!/usr/bin/ruby\n'),
      '/usr/bin/redis-sum': program('#!/usr/bin/perl\n'),
      '/usr/bin/ruby': elf,
    };
    const { keepSet, warnings } = await compute(files, uses, 'balanced');
    expect(keepSet.reasons.has('/usr/bin/redis-plot')).toBe(false);
    expect(keepSet.reasons.has('/usr/bin/ruby')).toBe(false);
    expect(keepSet.reasons.has('/usr/bin/redis-sum')).toBe(true);
    expect(warnings.join()).toContain('/usr/bin/redis-plot was not used and is left out');
  });

  it('goes wholly with the last package', async () => {
    const { names, rewrites, keepSet } = await compute(dpkg, {});
    expect([names, rewrites]).toEqual([[], []]);
    expect(keepSet.reasons.has('/var/lib/dpkg/status')).toBe(false);
  });

  it('knows distroless images, where each package has a file of its own', async () => {
    const { names, keepSet, content } = await compute(
      {
        '/usr/bin/app': elf,
        '/usr/lib/other': 'x',
        '/usr/lib/gone': 'x',
        '/var/lib/dpkg/status.d/app': 'Package: app\nVersion: 1\nArchitecture: amd64\n',
        '/var/lib/dpkg/status.d/app.md5sums': `${'a'.repeat(32)}  usr/bin/app\n${'b'.repeat(32)}  usr/lib/other\n`,
        '/var/lib/dpkg/status.d/gone': 'Package: gone\nVersion: 1\n',
        '/var/lib/dpkg/status.d/gone.md5sums': `${'c'.repeat(32)}  usr/lib/gone\n`,
      },
      { '/usr/bin/app': 'exec x' },
    );
    expect(names).toEqual(['app']);
    expect(keepSet.reasons.has('/var/lib/dpkg/status.d/app')).toBe(true);
    expect(keepSet.reasons.has('/var/lib/dpkg/status.d/gone')).toBe(false);
    expect(content('/var/lib/dpkg/status.d/app.md5sums')).toBe(`${'a'.repeat(32)}  usr/bin/app\n`);
  });
});

describe('apk', () => {
  const apk: Record<string, FakeFile> = {
    '/lib/apk/db/installed':
      'C:Q1x=\nP:nginx\nV:1.2-r0\nA:x86_64\no:nginx\nF:usr\nF:usr/sbin\nR:nginx\na:0:0:755\nZ:Q1abc=\nF:etc/nginx\nR:unused\nZ:Q1def=\n\nP:zlib\nV:1.3\nF:lib\nR:libz.so\nZ:Q1=\n\n',
    '/lib/apk/db/scripts.tar': 'x',
    '/usr/sbin/nginx': elf,
    '/etc/nginx/unused': 'x',
    '/lib/libz.so': fakeElf(),
  };

  it('lists only packages that still have files, with only those files', async () => {
    const { names, packages, content, keepSet } = await compute(apk, {
      '/usr/sbin/nginx': 'exec x',
    });
    expect(packages.before).toHaveLength(2);
    expect(names).toEqual(['nginx']);
    expect(content('/lib/apk/db/installed')).toBe(
      'C:Q1x=\nP:nginx\nV:1.2-r0\nA:x86_64\no:nginx\nF:usr\nF:usr/sbin\nR:nginx\na:0:0:755\nZ:Q1abc=\nF:etc/nginx\n\n',
    );
    expect(keepSet.reasons.has('/lib/apk/db/scripts.tar')).toBe(false);
  });
});

describe('rpm', () => {
  it('keeps the database whole and says so', async () => {
    const { keepSet, warnings, rewrites } = await compute(
      { '/var/lib/rpm/rpmdb.sqlite': 'SQLite format 3' },
      {},
    );
    expect(keepSet.reasons.has('/var/lib/rpm/rpmdb.sqlite')).toBe(true);
    expect(rewrites).toEqual([]);
    expect(warnings.join()).toContain('rpm database is left as it is');
  });
});
