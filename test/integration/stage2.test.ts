import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionSettings } from '../../attacher/guest/session-frames.js';
import {
  inputEndFrame,
  inputFrames,
  resizeFrame,
  signalFrame,
} from '../../attacher/guest/session-frames.js';
import { Stage2Session as Session } from '../support/stage2-session.js';

/**
 * Stage 2 on this machine's own kernel, the overlay being a folder: everything but its start by a
 * guest's kernel. Needs root.
 */

describe('stage 2', () => {
  let folder = '';
  let tree = '';
  const environment = ['PATH=/usr/bin:/bin'];

  const run = async (command: string[], more: Partial<SessionSettings> = {}): Promise<Session> => {
    const session = new Session({ command, environment, overlay: { tree }, ...more });
    session.stream.write(inputEndFrame());
    await session.closed;
    return session;
  };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'debloat-stage2-'));
    tree = join(folder, 'tree');
    mkdirSync(tree);
    // As an overlay is: a file system of its own.
    execFileSync('mount', ['-t', 'tmpfs', 'debloat-test', tree]);
    mkdirSync(join(tree, 'opt/debloat-test'), { recursive: true });
    mkdirSync(join(tree, 'etc'));
    writeFileSync(join(tree, 'opt/debloat-test/file'), 'from the overlay\n');
    writeFileSync(join(tree, 'etc/hostname'), 'the original\n');
  });
  afterAll(() => {
    execFileSync('umount', [tree]);
    rmSync(folder, { recursive: true, force: true });
  });

  it('shows the overlay over the root, and changes neither', async () => {
    const mounts = readFileSync('/proc/self/mounts', 'utf8');
    const session = await run([
      'sh',
      '-c',
      'cat /opt/debloat-test/file /etc/hostname; echo changed > /etc/hostname && cat /etc/hostname; ls /etc/passwd; echo oh >&2; exit 3',
    ]);
    expect(session.output).toBe('from the overlay\nthe original\nchanged\n/etc/passwd\n');
    expect(session.bytes('errors').toString()).toBe('oh\n');
    expect(session.events.at(-1)).toEqual({ type: 'exit', code: 3 });
    expect(readFileSync(join(tree, 'etc/hostname'), 'utf8')).toBe('the original\n');
    expect(readFileSync('/proc/self/mounts', 'utf8')).toBe(mounts);
  });

  it('says how a command ended, or why it did not start', async () => {
    expect((await run(['false'])).events.at(-1)).toEqual({ type: 'exit', code: 1 });
    const killed = await run(['sh', '-c', 'kill -TERM $$']);
    expect(killed.events.at(-1)).toEqual({ type: 'exit', code: 143, signal: 15 });
    const missing = await run(['no-such-command']);
    expect(missing.events.slice(-2)).toEqual([
      { type: 'failed', errno: 2, what: 'no-such-command' },
      { type: 'exit', code: 127 },
    ]);
    const lost = await run(['true'], { overlay: { tree: '/no/such/folder' } });
    expect(lost.events.at(-1)).toMatchObject({ type: 'failed', errno: 2 });
  });

  it('runs as the user, in the folder, with the environment', async () => {
    const session = await run(['sh', '-c', 'id -u; id -g; id -G; pwd; echo $NAME'], {
      user: { uid: 33, gid: 34, groups: [44] },
      directory: '/opt/debloat-test',
      environment: [...environment, 'NAME=value'],
    });
    expect(session.output).toBe('33\n34\n34 44\n/opt/debloat-test\nvalue\n');
  });

  it('passes bytes through unchanged, in both directions at once', async () => {
    const bytes = Buffer.alloc(8 << 20);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE((at * 2654435761) >>> 0, at);
    const session = new Session({ command: ['cat'], environment, overlay: { tree } });
    session.stream.write(inputFrames(bytes));
    session.stream.write(inputEndFrame());
    await session.closed;
    expect(session.bytes('output').equals(bytes)).toBe(true);
  });

  it('gives a terminal: its size, its signals, its end', async () => {
    const session = new Session({
      command: ['bash', '--norc'],
      environment: [...environment, 'PS1=ready> '],
      overlay: { tree },
      terminal: { rows: 31, columns: 97 },
    });
    await session.until('ready> ');
    session.stream.write(inputFrames(Buffer.from('stty size; tty\r')));
    await session.until('31 97\r\n/dev/pts/');
    session.stream.write(resizeFrame({ rows: 50, columns: 120 }));
    session.stream.write(inputFrames(Buffer.from('stty size\r')));
    await session.until('50 120\r\n');
    session.stream.write(inputFrames(Buffer.from('echo wait; sleep 1000\r')));
    await session.until('\nwait');
    await sleep(200);
    session.stream.write(inputFrames(Buffer.from('\x03')));
    await session.until('^C');
    session.stream.write(inputEndFrame());
    await session.closed;
    expect(session.events.at(-1)).toEqual({ type: 'exit', code: 130 });
  });

  it('passes signals on to the command', async () => {
    const session = new Session({
      command: [
        'sh',
        '-c',
        'trap "echo caught; exit 9" USR1; echo set; while :; do sleep 0.1; done',
      ],
      environment,
      overlay: { tree },
    });
    await session.until('set');
    session.stream.write(signalFrame(10));
    await session.closed;
    expect(session.output).toBe('set\ncaught\n');
    expect(session.events.at(-1)).toEqual({ type: 'exit', code: 9 });
  });

  const alive = (process: number): boolean => {
    try {
      return !/\) Z /.test(readFileSync(`/proc/${process}/stat`, 'utf8'));
    } catch {
      return false;
    }
  };

  it('leaves no process behind, when the command ends or the host hangs up', async () => {
    const ended = await run(['sh', '-c', 'setsid sleep 1000 & echo $!']);
    expect(alive(Number(ended.output))).toBe(false);

    const session = new Session({
      command: ['sh', '-c', 'trap "" HUP; setsid sleep 1000 & echo $!; sleep 1000'],
      environment,
      overlay: { tree },
    });
    await session.until('\n');
    const left = Number(session.output);
    expect(alive(left)).toBe(true);
    session.stream.destroy();
    await session.closed;
    expect(alive(left)).toBe(false);
  });

  it('joins the namespaces of a container, and writes nothing into its root', async () => {
    const root = join(folder, 'root');
    mkdirSync(root);
    const container = spawn(
      'unshare',
      [
        '--mount',
        '--pid',
        '--net',
        '--uts',
        '--fork',
        '--mount-proc',
        'sh',
        '-c',
        `mount -t tmpfs none ${root}; mkdir ${root}/marker; hostname contained; echo up; exec sleep 1000`,
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    try {
      await new Promise((resolve) => container.stdout.once('data', resolve));
      const inside = Number(execFileSync('pgrep', ['-P', String(container.pid)]).toString());
      const session = await run(
        [
          'sh',
          '-c',
          `cat /opt/debloat-test/file; hostname; ls ${root}; cat /proc/1/comm; readlink /proc/self/ns/net; touch /etc/written`,
        ],
        { container: inside },
      );
      expect(session.output).toBe(
        `from the overlay\ncontained\nmarker\nsleep\n${readlinkSync(`/proc/${inside}/ns/net`)}\n`,
      );
      expect(session.events.at(-1)).toEqual({ type: 'exit', code: 0 });
      expect(() => readFileSync(`/proc/${inside}/root/etc/written`)).toThrow(/ENOENT/);
      expect(alive(inside)).toBe(true);
    } finally {
      const children = execFileSync('pgrep', ['-P', String(container.pid)])
        .toString()
        .trim();
      for (const child of children.split('\n')) process.kill(Number(child), 'SIGKILL');
    }
  });
});
