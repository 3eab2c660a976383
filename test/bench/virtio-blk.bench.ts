import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  compileClient,
  debianTools,
  storageDaemon,
  withDebianLibraries,
} from '../support/blkio.js';
import { serveImage, stopServing } from '../support/serving.js';

/*
 * `debloat serve` beside qemu-storage-daemon with aio=io_uring, both driven by the same libblkio
 * client (test/fixtures/blkio/load.c). A round is a second of load on each, in turns; what counts is
 * the median of the rounds' ratios. CPU time is that of all the server's
 * threads (schedstat).
 *
 * The client has one core and whichever server it is that has another: where the scheduler put them
 * made both servers now twice as fast, now half. The client waits as a guest on KVM does: a halted
 * processor's thread looks for interrupts for up to halt_poll_ns (200 µs unless told otherwise)
 * before it sleeps. DEBLOAT_BENCH_POLL_US=0 has it sleep at once, which on a machine that is virtual
 * itself measures little but how long it takes to wake a core up.
 */
const rounds = Number(process.env['DEBLOAT_BENCH_ROUNDS'] ?? 9);
const poll = Number(process.env['DEBLOAT_BENCH_POLL_US'] ?? 200);
const cores = allowedCores();
const megabyte = 2 ** 20;
const dir = mkdtempSync(join(tmpdir(), 'debloat-bench-virtio-'));
const results: Record<string, Record<string, number | string>> = {};
let client: string;

interface Round {
  rate: number;
  p50: number;
  cpu: number;
}

interface Row {
  image: () => string;
  load: [mode: string, block: number, depth: number];
  /** Of `debloat serve`. */
  args?: string[];
  cold?: boolean;
  /** Bounds of the ratios to the peer's; a rate is to be higher, times lower. */
  bounds: { rate?: number; p50?: number; cpu?: number };
}

beforeAll(() => {
  client = compileClient('load', dir);
});
afterAll(() => {
  console.table(results);
  mkdirSync('out/bench', { recursive: true });
  writeFileSync('out/bench/virtio-blk.json', `${JSON.stringify(results, undefined, 2)}\n`);
  rmSync(dir, { recursive: true });
});

function image(name: string, size: number): string {
  const path = join(dir, name);
  if (!existsSync(path)) {
    execFileSync('sh', ['-c', `head -c ${size} /dev/urandom >${path} && sync ${path}`]);
  }
  return path;
}

const squashfs = () => join(debianTools('guest'), 'tools.squashfs');
const cached = () => image('cached', 64 * megabyte);

const rows: Record<string, Row> = {
  'page-cached, 4k random read, depth 32': {
    image: cached,
    load: ['randread', 4096, 32],
    bounds: { rate: 3, cpu: 0.35 },
  },
  'page-cached, 4k random read, depth 1': {
    image: cached,
    load: ['randread', 4096, 1],
    bounds: { p50: 0.9, cpu: 0.9 },
  },
  'cold file, 4k random read, depth 32': {
    image: () => image('cold', 4096 * megabyte),
    load: ['randread', 4096, 32],
    cold: true,
    bounds: { rate: 1, cpu: 1 },
  },
  '128k sequential read, depth 4': {
    image: cached,
    load: ['read', 131_072, 4],
    bounds: { rate: 1.2, cpu: 0.8 },
  },
  '128k sequential read, depth 4, --preload': {
    image: cached,
    load: ['read', 131_072, 4],
    args: ['--read-only', '--preload'],
    bounds: { rate: 1.2, cpu: 0.8 },
  },
  '4k random write, depth 32': {
    image: cached,
    load: ['randwrite', 4096, 32],
    bounds: { rate: 1, cpu: 1 },
  },
  'squashfs, 4k random read, depth 32': {
    image: squashfs,
    load: ['randread', 4096, 32],
    args: ['--read-only'],
    bounds: { rate: 3, cpu: 0.3 },
  },
  'squashfs, 4k random read, depth 32, --preload': {
    image: squashfs,
    load: ['randread', 4096, 32],
    args: ['--read-only', '--preload'],
    bounds: { rate: 3, cpu: 0.3 },
  },
};

/** qemu-storage-daemon serving `path`, ready for clients. */
async function servePeer(path: string, socket: string): Promise<ChildProcess> {
  const [file, args] = withDebianLibraries(storageDaemon(), [
    '--blockdev',
    `driver=file,node-name=disk,filename=${path},aio=io_uring,discard=unmap`,
    '--export',
    `vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=${socket},writable=on`,
  ]);
  const peer = spawn(file, args, { stdio: 'inherit' });
  for (let n = 0; n < 100 && !existsSync(socket); n++) await setTimeout(50);
  return peer;
}

/** The cores for servers and for the client: the first two we may use, or the one there is. */
function allowedCores(): { server: number; client: number } {
  const status = readFileSync('/proc/self/status', 'utf8');
  const list = /Cpus_allowed_list:\s+(\S+)/.exec(status)?.[1] ?? '0';
  const all = list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, n) => first + n);
  });
  return { server: all[0] ?? 0, client: all[1] ?? all[0] ?? 0 };
}

/** Keep a server and all its threads to the servers' core. */
function pin(server: ChildProcess): ChildProcess {
  const args = ['-a', '-c', '-p', String(cores.server), String(server.pid)];
  execFileSync('taskset', args, { stdio: 'ignore' });
  return server;
}

/** Seconds of processor time that the threads of a process have used. */
function cpuOf(server: ChildProcess): number {
  const tasks = `/proc/${server.pid}/task`;
  const times = readdirSync(tasks).map((task) => {
    return Number.parseInt(readFileSync(join(tasks, task, 'schedstat'), 'utf8')) / 1e9;
  });
  return times.reduce((sum, time) => sum + time, 0);
}

async function load(
  socket: string,
  ...args: (string | number)[]
): Promise<Round & { operations: number }> {
  const [file, all] = withDebianLibraries(client, [socket, ...args.map(String)]);
  const { stdout } = await execa('taskset', ['-c', String(cores.client), file, ...all]);
  const { operations, seconds, p50 } = JSON.parse(stdout) as Record<string, number>;
  return {
    operations: operations ?? 0,
    rate: (operations ?? 0) / (seconds ?? 1),
    p50: (p50 ?? 0) / 1000,
    cpu: 0,
  };
}

async function measure(
  server: ChildProcess,
  socket: string,
  row: Row,
  path: string,
): Promise<Round> {
  // dd of nothing with nocache gives up what the page cache has of the file (dd(1))
  if (row.cold) {
    execFileSync('dd', [
      `of=${path}`,
      'oflag=nocache',
      'conv=notrunc,fdatasync',
      'count=0',
      'status=none',
    ]);
  }
  const before = cpuOf(server);
  const { operations, rate, p50 } = await load(socket, ...row.load, 1, 64, poll);
  return { rate, p50, cpu: ((cpuOf(server) - before) / operations) * 1e6 };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

it.each(Object.entries(rows))('%s', async (name, row) => {
  const path = row.image();
  const sockets = { peer: join(dir, 'peer'), own: join(dir, 'own') };
  if (!row.cold)
    execFileSync('cat', [path], { stdio: ['ignore', 'ignore', 'inherit'], maxBuffer: 1 });
  const servers = {
    peer: pin(await servePeer(path, sockets.peer)),
    own: pin(await serveImage(path, sockets.own, row.args)),
  };
  const measured: { peer: Round; own: Round }[] = [];
  const round = async (who: 'peer' | 'own') => measure(servers[who], sockets[who], row, path);
  await round('peer');
  await round('own');
  for (let n = 0; n < rounds; n++) {
    const first = n % 2 === 0 ? 'peer' : 'own';
    const one = await round(first);
    const other = await round(first === 'peer' ? 'own' : 'peer');
    measured.push(first === 'peer' ? { peer: one, own: other } : { peer: other, own: one });
  }
  expect((await stopServing(servers.own))['failures']).toBe(0);
  const gone = once(servers.peer, 'exit');
  servers.peer.kill();
  await gone;
  rmSync(sockets.peer, { force: true });
  const ratio = (of: keyof Round) => median(measured.map(({ peer, own }) => own[of] / peer[of]));
  const of = (who: 'peer' | 'own', what: keyof Round) =>
    median(measured.map((each) => each[who][what]));
  const ratios = { rate: ratio('rate'), p50: ratio('p50'), cpu: ratio('cpu') };
  results[name] = {
    ...Object.fromEntries(
      Object.entries(ratios).map(([what, value]) => [what, Number(value.toFixed(2))]),
    ),
    IOPS: `${of('own', 'rate').toFixed(0)} / ${of('peer', 'rate').toFixed(0)}`,
    'p50 µs': `${of('own', 'p50').toFixed(1)} / ${of('peer', 'p50').toFixed(1)}`,
    'CPU µs': `${of('own', 'cpu').toFixed(2)} / ${of('peer', 'cpu').toFixed(2)}`,
    rounds,
    load: (loadavg()[0] ?? 0).toFixed(1),
  };
  const { bounds } = row;
  expect.soft(ratios.rate, 'IOPS').toBeGreaterThanOrEqual(bounds.rate ?? 0);
  expect.soft(ratios.p50, 'p50').toBeLessThanOrEqual(bounds.p50 ?? Infinity);
  expect.soft(ratios.cpu, 'CPU per I/O').toBeLessThanOrEqual(bounds.cpu ?? Infinity);
});

it('needs little memory for a large disk and guest, and no processor when idle', async () => {
  const path = join(dir, 'large');
  execFileSync('truncate', ['-s', '64G', path]);
  const socket = join(dir, 'own');
  const server = await serveImage(path, socket);
  await load(socket, 'randread', 4096, 32, 2, 16 * 1024);
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
  const peak = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
  const before = { waiting: 0, connected: 0 };
  await setTimeout(12_000); // the garbage collector tidies up once after work
  before.waiting = cpuOf(server);
  await setTimeout(5000);
  const waiting = cpuOf(server) - before.waiting;
  const running = load(socket, 'idle', 4096, 8, 7);
  await setTimeout(1500);
  before.connected = cpuOf(server);
  await setTimeout(5000);
  const connected = cpuOf(server) - before.connected;
  await running;
  await stopServing(server);
  results['64 GiB image, 16 GiB guest'] = {
    'peak MB': Math.round(peak),
    'idle CPU s': Number((waiting + connected).toFixed(4)),
  };
  expect(peak).toBeLessThan(120);
  expect(waiting + connected).toBeLessThan(0.001);
});
