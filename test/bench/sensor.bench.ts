import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sensorPath } from '../../native/sensor.js';

/*
 * What tracing costs, as ratios within one run. Untraced and traced slices alternate, so that other
 * load on the machine hits both alike; the median of the pairs counts for throughput, the least
 * disturbed run of each for times.
 * Needs nginx, wrk, strace and a C compiler.
 */
const pairs = Number(process.env['DEBLOAT_BENCH_PAIRS'] ?? 15);
const results: Record<
  string,
  { untraced: number; traced: number; ratio: number; strace?: number }
> = {};
let dir: string;
let calls: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'debloat-bench-'));
  await mkdir(join(dir, 'trace'));
  await mkdir(join(dir, 'www'));
  await writeFile(join(dir, 'www/small.html'), 'x'.repeat(612));
  await execa('chmod', ['-R', 'a+rX', dir]);
  await chmod(join(dir, 'trace'), 0o1777);
  calls = join(dir, 'calls');
  await execa('cc', ['-O2', '-static', '-pthread', '-o', calls, 'test/fixtures/sensor/calls.c']);
});

afterAll(async () => {
  console.table(results);
  await mkdir('out/bench', { recursive: true });
  await writeFile('out/bench/sensor.json', `${JSON.stringify(results, undefined, 2)}\n`);
  await rm(dir, { recursive: true, force: true });
});

const sensed = (argv: string[]) => [sensorPath(), '--output', join(dir, 'trace'), '--', ...argv];
const straced = (argv: string[]) => [
  'strace',
  '-f',
  '--seccomp-bpf',
  '-e',
  'trace=%file',
  '-o',
  join(dir, 'strace'),
  ...argv,
];

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

async function seconds(argv: string[]): Promise<number> {
  const start = process.hrtime.bigint();
  const [file = '', ...args] = argv;
  await execa(file, args, { stdio: 'ignore' });
  return Number(process.hrtime.bigint() - start) / 1e9;
}

/** Times of the same command untraced, traced, and by strace. */
async function compare(name: string, argv: string[]): Promise<number> {
  const untraced: number[] = [];
  const traced: number[] = [];
  const strace: number[] = [];
  for (let i = 0; i < pairs; i++) {
    untraced.push(await seconds(argv));
    traced.push(await seconds(sensed(argv)));
    if (i % 3 === 0) strace.push(await seconds(straced(argv)));
  }
  const ratio = Math.min(...traced) / Math.min(...untraced);
  results[name] = {
    untraced: Math.min(...untraced),
    traced: Math.min(...traced),
    ratio,
    strace: Math.min(...strace),
  };
  return ratio;
}

async function serve(
  port: number,
  wrap: (argv: string[]) => string[],
): Promise<() => Promise<void>> {
  const config = join(dir, `nginx-${port}.conf`);
  await writeFile(
    config,
    `daemon off; master_process on; worker_processes 1; pid ${dir}/pid-${port}; error_log ${dir}/error-${port};
     events { worker_connections 1024; }
     http { access_log off; sendfile on; keepalive_requests 10000000;
            server { listen 127.0.0.1:${port}; root ${dir}/www; } }`,
  );
  const [file = '', ...args] = wrap(['nginx', '-c', config]);
  const server = execa(file, args, { reject: false, stdio: 'ignore' });
  await until(port);
  // strace does not pass signals on: nginx itself is asked
  return async () => {
    await execa('nginx', ['-c', config, '-s', 'quit'], { stdio: 'ignore' });
    await server;
  };
}

async function until(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      socket.destroy();
    }
  }
  throw new Error(`nothing listens on ${port}`);
}

async function requestsPerSecond(port: number): Promise<number> {
  const { stdout } = await execa('wrk', [
    '-t1',
    '-c16',
    '-d1',
    `http://127.0.0.1:${port}/small.html`,
  ]);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
}

it('nginx serves a small file: at least 0.65 of the untraced throughput', async () => {
  const stops = [
    await serve(18081, (argv) => argv),
    await serve(18082, sensed),
    await serve(18083, straced),
  ];
  const untraced: number[] = [];
  const traced: number[] = [];
  try {
    for (let i = 0; i < pairs; i++) {
      untraced.push(await requestsPerSecond(18081));
      traced.push(await requestsPerSecond(18082));
    }
    const ratio = median(traced.map((rate, i) => rate / (untraced[i] ?? Number.NaN)));
    const strace = await requestsPerSecond(18083);
    results['nginx requests/s'] = {
      untraced: median(untraced),
      traced: median(traced),
      ratio,
      strace,
    };
    expect(ratio).toBeGreaterThanOrEqual(0.65);
  } finally {
    for (const stop of stops) await stop();
  }
});

it('a script that forks and stats: at most 1.5 times as long', async () => {
  const script =
    'i=0; while [ $i -lt 200 ]; do /bin/true; test -e /etc/passwd; [ -d /usr/lib ]; ls /usr/share >/dev/null; i=$((i+1)); done';
  expect(await compare('fork and stat, s', ['/bin/sh', '-c', script])).toBeLessThanOrEqual(1.5);
});

it('a start-up with 40,000 distinct stats: at most 1.3 times as long', async () => {
  // A large server looks for its modules and computes in between (RabbitMQ: 16 s for as many; this: about 3).
  const program = `const fs = require('fs'), crypto = require('crypto');
    for (let i = 0; i < 40000; i++) {
      fs.existsSync('/usr/lib/app/' + (i % 200) + '/ebin/module-' + i + '.beam');
      if (i % 2 === 0) crypto.createHash('sha256').update(Buffer.alloc(200000, i)).digest();
    }`;
  expect(
    await compare('40,000 distinct stats, s', [process.execPath, '-e', program]),
  ).toBeLessThanOrEqual(1.3);
});
