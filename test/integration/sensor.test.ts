import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sensorPath } from '../../native/sensor.js';
import { readTraces, sense } from '../support/sensed.js';

// The real sensor on this machine's kernel, as root: no container is needed to see what it sees.
let top: string;
let calls: string;
let dir: string;

beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'debloat-sensor-'));
  await chmod(top, 0o755);
  calls = join(top, 'calls');
  await execa('cc', ['-O2', '-static', '-pthread', '-o', calls, 'test/fixtures/sensor/calls.c']);
});

afterAll(async () => {
  await rm(top, { recursive: true, force: true });
});

beforeEach(async () => {
  dir = await mkdtemp(join(top, 'case-'));
  await chmod(dir, 0o777);
  await writeFile(join(dir, 'file'), 'text\n');
});

const shell = (script: string, ...args: string[]) => ['/bin/sh', '-c', script, 'sh', ...args];

describe('what is recorded', () => {
  it('tells opens, writes, listings, stats, readlinks, changes of directory and changes apart', async () => {
    await symlink('file', join(dir, 'link'));
    await mkdir(join(dir, 'sub'));
    const run = await sense(
      shell(
        'cat file; echo x >>file; ls sub; test -e other; readlink link; cd sub; chmod 600 ../file; mv ../file ../moved',
      ),
      { cwd: dir },
    );
    expect(run.exitCode).toBe(0);
    expect(run.of('open', `${dir}/file`)).toEqual(['found']);
    expect(run.of('write', `${dir}/file`)).toEqual(['found']);
    expect(run.of('list', `${dir}/sub`)).toEqual(['found']);
    expect(run.of('stat', `${dir}/other`)).toEqual(['missing']);
    expect(run.of('readlink', `${dir}/link`)).toEqual(['found']);
    expect(run.of('chdir', `${dir}/sub`)).toEqual(['found']);
    expect(run.of('change', `${dir}/file`)).toEqual(['found']);
    expect(run.of('change', `${dir}/moved`)).toEqual(['created']);
    expect(
      run.raw.records.find((record) => record.path === `${dir}/sub` && record.kind === 'list')?.by,
    ).toBe('ls');
    expect(run.raw).toMatchObject({ lost: 0, unreadable: new Map() });
  });

  it('names every symlink on the way and the file at the end', async () => {
    await mkdir(join(dir, 'real'));
    await writeFile(join(dir, 'real/data'), '');
    await symlink('real', join(dir, 'one'));
    await symlink(`${dir}/one`, join(dir, 'two'));
    await symlink('../two/data', join(dir, 'real/loop'));
    const run = await sense(['/bin/cat', join(dir, 'two/loop')]);
    expect(run.of('open', `${dir}/real/data`)).toEqual(['found']);
    for (const link of ['one', 'two', 'real/loop'])
      expect(run.of('link', `${dir}/${link}`)).toEqual(['found']);
    const absent = await sense(['/bin/cat', join(dir, 'two/absent/deeper')]);
    expect(absent.of('open', `${dir}/real/absent/deeper`)).toEqual(['missing']);
  });

  it('follows a symlink that changes while the workload runs', async () => {
    for (const name of ['v1', 'v2']) {
      await mkdir(join(dir, name));
      await writeFile(join(dir, name, 'data'), name);
    }
    await symlink('v1', join(dir, 'current'));
    const run = await sense(
      shell('cat current/data; cat current/data; ln -sfn v2 current; cat current/data'),
      { cwd: dir },
    );
    expect(run.stdout).toBe('v1v1v2');
    expect(run.of('open', `${dir}/v1/data`)).toEqual(['found']);
    expect(run.of('open', `${dir}/v2/data`)).toEqual(['found']);
  });

  it('tells what the workload made from what was there', async () => {
    const run = await sense(
      shell(
        'test -e new; echo a >new; cat new; mkdir made; test -d made; echo b >file; test -e later; sleep 0.3; cp file later; cat later',
      ),
      { cwd: dir },
    );
    expect(run.exitCode).toBe(0);
    const outcomes = (name: string) =>
      run.raw.records
        .filter((record) => record.path === `${dir}/${name}`)
        .map((record) => record.outcome);
    expect(outcomes('new').slice(0, 2)).toEqual(['missing', 'created']);
    expect(outcomes('made')[0]).toBe('created');
    expect(outcomes('file')).not.toContain('created');
    expect(outcomes('later')).toEqual(expect.arrayContaining(['missing', 'created', 'found']));
  });

  it('records the interpreters that the kernel opens by itself', async () => {
    await writeFile(join(dir, 'script'), '#!/bin/sh\nexit 4\n', { mode: 0o755 });
    const run = await sense([join(dir, 'script')]);
    expect(run.exitCode).toBe(4);
    expect(run.of('exec', `${dir}/script`)).toEqual(['found']);
    expect(run.of('exec', '/usr/bin/dash')).toEqual(['found']);
    const loaders = run.raw.records.filter(
      (record) => record.kind === 'exec' && /\/ld-linux/.test(record.path),
    );
    expect(loaders).toHaveLength(1);
  });

  it('goes through the magic links of /proc to the files behind them', async () => {
    const run = await sense(
      shell(
        'exec 3<file; cat /proc/self/fd/3 /proc/self/cwd/file; cat /dev/fd/3; head -c1 /proc/self/exe',
      ),
      { cwd: dir },
    );
    expect(run.of('open', `${dir}/file`)).toEqual(['found']);
    expect(run.of('open', '/usr/bin/head')).toEqual(['found']);
    expect(run.raw.records.filter((record) => record.path.startsWith('/proc'))).toEqual([]);
  });

  it('gives paths below a chroot as paths of the image', async () => {
    await mkdir(join(dir, 'jail/etc'), { recursive: true });
    await mkdir(join(dir, 'jail/bin'));
    await writeFile(join(dir, 'jail/etc/data'), '');
    await symlink('/etc/data', join(dir, 'jail/link'));
    await cp(calls, join(dir, 'jail/bin/calls'));
    const run = await sense([
      'chroot',
      join(dir, 'jail'),
      '/bin/calls',
      'threads',
      '/link',
      '/etc/data',
    ]);
    expect(run.exitCode).toBe(0);
    expect(run.of('exec', `${dir}/jail/bin/calls`)).toEqual(['found']);
    expect(run.of('link', `${dir}/jail/link`)).toEqual(['found']);
    expect(run.of('open', `${dir}/jail/etc/data`)).toEqual(['found']);
    expect(run.of('open', '/etc/data')).toEqual([]);
  });
});

describe('who is traced', () => {
  it('sees threads, vfork, posix_spawn and 32-bit calls', async () => {
    const files = Array.from({ length: 32 }, (_, i) => join(dir, `t${i}`));
    for (const file of files) await writeFile(file, '');
    const threads = await sense([calls, 'threads', ...files]);
    expect(threads.exitCode).toBe(0);
    for (const file of files) expect(threads.of('open', file)).toEqual(['found']);
    for (const how of ['vfork', 'spawn']) {
      const run = await sense([calls, how, '/bin/sh', '-c', `cat ${dir}/file; exit 3`]);
      expect(run.exitCode).toBe(3);
      expect(run.of('open', `${dir}/file`)).toEqual(['found']);
    }
    const compat = await sense([calls, 'compat', join(dir, 'file')]);
    expect(compat.exitCode).toBe(0);
    expect(compat.of('open', `${dir}/file`)).toEqual(['found']);
  });

  it('sees every path of a hundred processes at once', async () => {
    const run = await sense([calls, 'crowd', `${dir}/c`]);
    expect(run.exitCode).toBe(0);
    const seen = new Set(
      run.raw.records.filter((record) => record.path.startsWith(`${dir}/c`)).map((r) => r.path),
    );
    expect(seen.size).toBe(2000);
  });

  it('refuses io_uring, whose opens could not be seen', async () => {
    expect((await sense([calls, 'uring'])).exitCode).toBe(0);
  });

  it('counts what it cannot read by program, and reads it with CAP_SYS_PTRACE', async () => {
    const blind = await sense([calls, 'become', '/etc/passwd'], {
      before: ['setpriv', '--bounding-set', '-sys_ptrace', '--inh-caps', '-sys_ptrace'],
    });
    expect(blind.exitCode).toBe(0);
    expect(blind.raw.unreadable).toEqual(new Map([['calls', 1]]));
    const able = await sense([calls, 'become', '/etc/passwd']);
    expect(able.raw.unreadable.size).toBe(0);
    expect(able.of('stat', '/etc/passwd')).toEqual(['found']);
  });
});

describe('the workload is as untraced', () => {
  it('keeps exit codes, arguments, environment, files and capabilities', async () => {
    const script =
      'cat /proc/self/environ | tr "\\0" "\\n" | sort; ls /proc/self/fd; grep -E "^(Cap|Sig[BIC])" /proc/self/status; exit 9';
    const options = {
      env: { ODD: 'a b', LD_LIBRARY_PATH: '/x', PATH: process.env['PATH'] ?? '' },
      extendEnv: false,
    };
    const plain = await execa('/bin/sh', ['-c', script], {
      reject: false,
      stdin: 'ignore',
      ...options,
    });
    const traced = await sense(['/bin/sh', '-c', script], options);
    expect(traced.exitCode).toBe(9);
    expect(traced.stdout).toBe(plain.stdout);
  });

  it('gives up the capabilities that only the sensor needed', async () => {
    const run = await sense(['grep', '^Cap', '/proc/self/status'], {
      flags: ['--drop-caps', 'sys_ptrace,CAP_SYS_ADMIN'],
    });
    const bits = [...run.stdout.matchAll(/:\s+([0-9a-f]+)/g)].map(([, hex]) =>
      BigInt(`0x${hex ?? ''}`),
    );
    expect(bits).toHaveLength(5);
    for (const set of bits) expect(set & ((1n << 19n) | (1n << 21n))).toBe(0n);
  });

  it('keeps LD_LIBRARY_PATH for a user whose sensor has file capabilities', async () => {
    const sensor = join(top, 'capable-sensor');
    await cp(sensorPath(), sensor);
    await execa('setcap', ['cap_sys_ptrace=ep', sensor]);
    const run = await sense(['/usr/bin/env'], {
      sensor,
      flags: ['--drop-caps', 'sys_ptrace'],
      before: ['setpriv', '--reuid', '12345', '--clear-groups'],
      env: { LD_LIBRARY_PATH: '/x', TMPDIR: '/y' },
      extendEnv: false,
    });
    expect(run.stderr).toBe('');
    expect(run.stdout.split('\n').sort()).toEqual(['LD_LIBRARY_PATH=/x', 'TMPDIR=/y']);
    expect(run.of('exec', '/usr/bin/env')).toEqual(['found']);
    expect(run.raw.noNewPrivileges).toBe(true);
  });

  it('has no child that it did not make', async () => {
    expect((await sense([calls, 'wait'])).exitCode).toBe(0);
    const pgrep = await sense(shell('exec 3>&1; (sleep 0.1; echo late) & wait; echo done'));
    expect(pgrep.stdout).toBe('late\ndone');
  });

  it('survives kill -9 of everything, as process 1 and as another', async () => {
    const run = await sense([calls, 'kill-all', join(dir, 'file')], {
      before: ['unshare', '-pf', '--mount-proc'],
    });
    expect(run.exitCode).toBe(0);
    expect(run.of('open', `${dir}/file`)).toEqual(['found']);
  });

  it.each([
    ['is deaf to TERM without a handler', 'kill -TERM $$; echo alive', 0, 'alive'],
    ['runs its handler', 'trap "echo got; exit 5" TERM; kill -TERM $$', 5, 'got'],
    ['sees its orphans end', '(sh -c "exit 3" &) ; sleep 0.2; wait; echo $$', 0, '1'],
  ])('as process 1 %s', async (_, script, code, stdout) => {
    const run = await sense(shell(script), { before: ['unshare', '-pf', '--mount-proc'] });
    expect({ code: run.exitCode, stdout: run.stdout }).toEqual({ code, stdout });
  });

  it('copes with bad pointers and paths at the end of a page', async () => {
    expect((await sense([calls, 'bad-pointers'])).exitCode).toBe(0);
  });

  it('passes a signal’s end on', async () => {
    expect((await sense(shell('kill -SEGV $$'))).signal).toBe('SIGSEGV');
  });
});

describe('when something goes wrong', () => {
  it('has everything on disk when all is killed', async () => {
    const output = join(dir, 'out');
    await mkdir(output);
    await chmod(output, 0o1777);
    const inner = `${sensorPath()} --output ${output} -- ${calls} threads ${dir}/file & sleep 0.5; ${sensorPath()} --output ${output} -- sh -c 'cat ${dir}/file; test -e ${dir}/last; kill -9 $$'; kill -9 $$`;
    await execa('unshare', ['-pf', '--kill-child', '--mount-proc', 'sh', '-c', inner], {
      reject: false,
      timeout: 20_000,
      stdin: 'ignore',
    });
    const raw = await readTraces(output);
    const stat = raw.records.filter((record) => record.path === `${dir}/last`);
    expect(stat.map((record) => record.outcome)).toEqual(['missing']);
    expect(raw.events).toBeGreaterThan(10);
  });

  it('tells that a full disk lost records, and the workload goes on', async () => {
    const output = join(dir, 'small');
    await mkdir(output);
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=8k,mode=1777', 'tmpfs', output]);
    try {
      const run = await sense([calls, 'many', `${dir}/absent`, '1000'], { output });
      expect(run.exitCode).toBe(0);
      expect(run.raw.lost).toBeGreaterThan(500);
      expect(run.raw.lost ?? 0).toBeLessThan(1100);
      expect(run.raw.records.length).toBeGreaterThan(10);
    } finally {
      await execa('umount', ['--lazy', output]); // the tracer may take a moment to end
    }
  });

  it.each([
    ['a program that is not there', ['no-such-program'], 127, /no-such-program: no such program/],
    ['a file that cannot be run', ['/etc/passwd'], 126, /Permission denied/],
  ])('says so of %s', async (_, argv, code, message) => {
    const run = await sense(argv);
    expect(run.exitCode).toBe(code);
    expect(run.stderr).toMatch(message);
    expect(run.raw.records).toEqual([]);
  });

  it('says so of an output directory that is not there', async () => {
    const { exitCode, stderr } = await execa(
      sensorPath(),
      ['--output', join(dir, 'no'), '--', 'true'],
      { reject: false },
    );
    expect(exitCode).toBe(125);
    expect(stderr).toMatch(/cannot make a trace file in .*No such file or directory/);
  });
});
