import { describe, expect, it } from 'vitest';
import { fakeElf } from '../../test/support/fake-elf.js';
import {
  fakeImage,
  fakeTrace,
  program,
  symlink,
  type FakeFile,
} from '../../test/support/fake-image.js';
import type { RunConfig } from '../image/types.js';
import { computeKeepSet, type KeepOptions, type KeepResult } from './compute.js';
import { explain } from './explain.js';
import type { Policy } from './types.js';

const interpreter = '/lib64/ld-linux-x86-64.so.2';
const lib = '/usr/lib/x86_64-linux-gnu';

/** A merged-/usr base system with a C library; programs of it are made by {@link linked}. */
const base: Record<string, FakeFile> = {
  '/lib': symlink('usr/lib'),
  '/lib64': symlink('usr/lib64'),
  '/bin': symlink('usr/bin'),
  '/usr/lib64/ld-linux-x86-64.so.2': symlink(`${lib}/ld-linux-x86-64.so.2`),
  [`${lib}/ld-linux-x86-64.so.2`]: program(fakeElf({ soname: 'ld-linux-x86-64.so.2' })),
  [`${lib}/libc.so.6`]: program(fakeElf({ interpreter, soname: 'libc.so.6' })),
  [`${lib}/libgcc_s.so.1`]: fakeElf({ needed: ['libc.so.6'] }),
  '/etc/passwd': 'root:x:0:0::/root:/bin/sh\n',
  '/usr/bin/dash': linked(),
  '/usr/bin/sh': symlink('dash'),
};

function linked(...needed: string[]): FakeFile {
  return program(fakeElf({ interpreter, needed: [...needed, 'libc.so.6'] }));
}

async function keep(
  files: Record<string, FakeFile>,
  uses: Record<string, string> | string[],
  options: Partial<KeepOptions> & { config?: RunConfig } = {},
): Promise<KeepResult & { kept: string[]; why: (path: string) => string }> {
  const image = fakeImage({ ...base, ...files }, options.config);
  const result = await computeKeepSet(image, fakeTrace(uses), { policy: 'balanced', ...options });
  const kept = [...result.keepSet.reasons.keys()].filter(
    (path) => image.tree.get(path)?.kind !== 'dir',
  );
  return { ...result, kept, why: (path) => explain(result.keepSet, path, image.tree) };
}

describe('computeKeepSet', () => {
  it('follows a program to its interpreter and libraries, symlinks included', async () => {
    const { kept, why } = await keep(
      {
        '/usr/sbin/nginx': linked('libpcre2-8.so.0'),
        [`${lib}/libpcre2-8.so.0`]: symlink('libpcre2-8.so.0.11.2'),
        [`${lib}/libpcre2-8.so.0.11.2`]: fakeElf({ needed: ['libc.so.6', 'libdeep.so.1'] }),
        [`${lib}/libdeep.so.1`]: fakeElf(),
        [`${lib}/libunused.so.1`]: fakeElf(),
      },
      { '/usr/sbin/nginx': 'exec sh' },
    );
    expect(kept).toEqual(
      expect.arrayContaining([
        '/usr/sbin/nginx',
        `${lib}/libpcre2-8.so.0`,
        `${lib}/libpcre2-8.so.0.11.2`,
        `${lib}/libdeep.so.1`,
        `${lib}/libc.so.6`,
        `${lib}/libgcc_s.so.1`,
        `${lib}/ld-linux-x86-64.so.2`,
        '/usr/lib64/ld-linux-x86-64.so.2',
        '/lib64',
        '/etc/passwd',
      ]),
    );
    expect(kept).not.toContain(`${lib}/libunused.so.1`);
    expect(kept).not.toContain('/usr/bin/dash');
    expect(why(`${lib}/libpcre2-8.so.0`)).toBe(
      'kept: DT_NEEDED libpcre2-8.so.0 of /usr/sbin/nginx ← executed by sh',
    );
    expect(why(`${lib}/libdeep.so.1`)).toBe(
      `kept: DT_NEEDED libdeep.so.1 of ${lib}/libpcre2-8.so.0.11.2 ← target of the symlink ${lib}/libpcre2-8.so.0` +
        ' ← DT_NEEDED libpcre2-8.so.0 of /usr/sbin/nginx ← executed by sh',
    );
    expect(why(`${lib}/libunused.so.1`)).toContain(`--keep '${lib}/libunused.so.1'`);
    expect(why('/nowhere')).toBe('/nowhere is not in the image');
  });

  it('takes the whole closure of a file that was only looked up, but not at strict', async () => {
    const files = { '/usr/bin/tool': linked('libtool.so.1'), [`${lib}/libtool.so.1`]: fakeElf() };
    const uses = { '/usr/bin/tool': 'stat bash' };
    for (const [policy, libraries] of [
      ['strict', 0],
      ['balanced', 1],
      ['safe', 1],
    ] as const) {
      const { kept } = await keep(files, uses, { policy });
      expect(kept).toContain('/usr/bin/tool');
      expect(kept.filter((path) => path.includes('libtool'))).toHaveLength(libraries);
    }
  });

  it('loads what was only looked up once something else needs it, at strict too', async () => {
    const { kept } = await keep(
      {
        '/opt/a': linked('libb.so.1'),
        [`${lib}/libb.so.1`]: fakeElf({ needed: ['libc2.so.1'] }),
        [`${lib}/libc2.so.1`]: fakeElf(),
      },
      { [`${lib}/libb.so.1`]: 'stat find', '/opt/a': 'exec sh' },
      { policy: 'strict' },
    );
    expect(kept).toContain(`${lib}/libc2.so.1`);
  });

  it('keeps what is cheap, and drops symlinks to what goes', async () => {
    const image = fakeImage({
      ...base,
      '/var/lib/redis': { kind: 'dir' },
      '/dev/null': { kind: 'char' },
      '/run/pipe': { kind: 'fifo' },
      '/etc/empty': '',
      '/etc/mtab': symlink('/proc/mounts'),
      '/opt/big': 'data',
      '/opt/to-big': symlink('big'),
      '/opt/to-kept': symlink('chain'),
      '/opt/chain': symlink('/etc/passwd'),
      '/opt/one': 'same inode',
      '/opt/two': { hardlink: '/opt/one' },
    });
    const { keepSet } = await computeKeepSet(image, fakeTrace(['/opt/two']), { policy: 'strict' });
    const kept = (path: string): boolean => keepSet.reasons.has(path);
    for (const path of [
      ...['/var/lib/redis', '/dev/null', '/run/pipe', '/etc/empty', '/etc/mtab', '/lib'],
      ...['/opt/to-kept', '/opt/chain', '/opt/one', '/opt/two'],
    ])
      expect([path, kept(path)]).toEqual([path, true]);
    for (const path of ['/opt/big', '/opt/to-big'])
      expect([path, kept(path)]).toEqual([path, false]);
  });

  it('never keeps a path because the workload made it, and copes with paths that are not there', async () => {
    const image = fakeImage({ ...base, '/var/lib/old': 'x' });
    const trace = fakeTrace({ '/var/lib/new': 'write db', '/var/lib/old': 'change db' });
    trace.paths['/var/lib/new'] = { access: { write: 'db' }, runs: 1, created: true };
    const { keepSet } = await computeKeepSet(image, trace, { policy: 'strict' });
    expect(keepSet.reasons.has('/var/lib/new')).toBe(false);
    expect(keepSet.reasons.get('/var/lib/old')).toMatchObject({ kind: 'traced', access: 'change' });
  });

  it('obeys --keep and --drop, and warns of what they miss and break', async () => {
    const files = {
      '/opt/app/run': linked(),
      '/opt/app/.hidden/data': 'x',
      '/opt/app/doc/readme': 'x',
      '/opt/app/doc/licence': 'x',
      '/srv/rare/tool': linked('librare.so.1'),
      [`${lib}/librare.so.1`]: fakeElf(),
    };
    const { kept, warnings, why } = await keep(
      files,
      { '/opt/app/run': 'exec sh', '/opt/app/doc/readme': 'open run' },
      {
        policy: 'strict',
        keep: ['/srv/rare', '/opt/**/licence', '/nothing/here'],
        drop: ['/opt/app/doc'],
      },
    );
    expect(kept).toContain('/srv/rare/tool');
    expect(kept).toContain(`${lib}/librare.so.1`);
    expect(kept).not.toContain('/opt/app/doc/readme');
    expect(kept).not.toContain('/opt/app/doc/licence'); // the drop's literal beginning is the longer
    expect(kept).not.toContain('/opt/app/.hidden/data');
    expect(why('/srv/rare/tool')).toBe('kept: --keep /srv/rare');
    expect(warnings).toContain("--keep '/nothing/here' matches nothing in the image.");
    expect(warnings).toContain('--drop removes paths that the workload used: /opt/app/doc/readme.');
    expect(why('/opt/app/doc/readme')).toMatch(
      /^removed by a --drop, .*without it: opened by run;/,
    );
  });

  it('lets the command line overrule a profile', async () => {
    const files = { '/opt/a/x': 'x', '/opt/b/x': 'x' };
    const profileRules = { origin: 'profile nginx', keep: ['/opt/a/x', '/opt/b/x'], drop: [] };
    const { kept, why } = await keep(files, [], { drop: ['/opt/a/**'], profileRules });
    expect(kept).toContain('/opt/b/x');
    expect(kept).not.toContain('/opt/a/x');
    expect(why('/opt/b/x')).toBe('kept: profile nginx /opt/b/x');
  });

  it('gives the same keep set whatever the order of the trace', async () => {
    const files = {
      '/opt/a': linked('libx.so'),
      '/opt/b': linked('libx.so'),
      [`${lib}/libx.so`]: fakeElf(),
      '/opt/p/one.so': fakeElf(),
      '/opt/p/two.so': fakeElf(),
      '/opt/p/rare.so': fakeElf(),
    };
    const uses = Object.entries({
      '/opt/a': 'exec sh',
      '/opt/b': 'exec sh',
      '/opt/p/one.so': 'open a',
      '/opt/p/two.so': 'open a',
    });
    const one = await keep(files, Object.fromEntries(uses));
    const two = await keep(files, Object.fromEntries(uses.reverse()));
    expect(one.kept).toContain('/opt/p/rare.so');
    expect([...one.keepSet.reasons]).toEqual([...two.keepSet.reasons]);
  });

  it('keeps ever more from strict over balanced to safe', async () => {
    const files = {
      '/entry.sh': program(
        '#!/bin/sh\nset -e\nif [ "$1" = x ]; then chown -R a /data; fi\nexec app\n',
      ),
      '/usr/bin/chown': linked(),
      '/usr/bin/ls': linked(),
      '/usr/bin/app': linked(),
    };
    const config = { Entrypoint: ['/entry.sh'], WorkingDir: '/' };
    const sets = new Map<Policy, string[]>();
    for (const policy of ['strict', 'balanced', 'safe'] as const)
      sets.set(policy, (await keep(files, { '/entry.sh': 'exec x' }, { policy, config })).kept);
    expect(sets.get('strict')).toEqual(expect.arrayContaining(['/usr/bin/sh', '/usr/bin/dash']));
    expect(sets.get('strict')).not.toContain('/usr/bin/chown');
    expect(sets.get('balanced')).toEqual(
      expect.arrayContaining([...(sets.get('strict') ?? []), '/usr/bin/chown', '/usr/bin/app']),
    );
    expect(sets.get('balanced')).not.toContain('/usr/bin/ls');
    expect(sets.get('safe')).toEqual(
      expect.arrayContaining([...(sets.get('balanced') ?? []), '/usr/bin/ls']),
    );
  });
});
