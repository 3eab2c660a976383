import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { workspaceParent } from '../support/cli.js';
import { makeOverlayImage } from '../support/overlay-image.js';
import { diskModules, startKvmGuest, type KvmGuest } from '../vm/kvm-guest.js';
import { startTcgGuest, type TcgGuest, type TcgGuestOptions } from '../vm/tcg-guest.js';

/*
 * What a session costs: the time to its prompt with the kernel known and not, many machines at once
 * beside one, an application in the guest beside itself without a session, a key's echo beside that of
 * QEMU's serial line, and how long the guest stands. Whole sessions go through the gdb stub of guests
 * under TCG; what the KVM hijack does is the disk-only attach.
 */
/** Few: the kernels of these guests are emulated on KVM here, and share the processors with what attaches to them. */
const machines = Number(process.env['DEBLOAT_BENCH_MACHINES'] ?? 4);
const rounds = { prompt: 5, stopped: 10, throughput: 5, parallel: 1, keys: 200 };

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const main = path('../../dist/cli/main.js');
const directory = mkdtempSync(join(tmpdir(), 'debloat-bench-'));
let overlay: string;

interface Row {
  figure: string;
  ours: string;
  peer: string;
  ratio?: number;
  target: string;
  met: boolean | undefined;
}
const rows: Row[] = [];
const details: Record<string, unknown> = {};

beforeAll(() => (overlay = makeOverlayImage(directory)));
afterAll(() => {
  console.table(rows);
  mkdirSync('out/bench', { recursive: true });
  const text = JSON.stringify({ machines, rows, details }, undefined, 2);
  writeFileSync('out/bench/session.json', `${text}\n`);
  rmSync(directory, { recursive: true, force: true });
});

/** A figure beside its peer's in the same run; a limit that is missed fails the test at its end. */
function compare(
  figure: string,
  [ours, peer]: readonly [number, number],
  unit: string,
  limit: { atMost?: number; atLeast?: number } = {},
  ratio = ours / peer,
): void {
  const { atMost, atLeast } = limit;
  const met =
    (atMost === undefined || ratio <= atMost) && (atLeast === undefined || ratio >= atLeast);
  const target =
    atMost !== undefined ? `<= ${atMost}` : atLeast !== undefined ? `>= ${atLeast}` : '-';
  const told = (value: number) => `${value.toPrecision(4)} ${unit}`;
  rows.push({
    ...{ figure, ours: told(ours), peer: told(peer), ratio: Number(ratio.toFixed(3)), target },
    met: target === '-' ? undefined : met,
  });
  expect.soft(met, `${figure}: ${ratio.toFixed(3)}, target ${target}`).toBe(true);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
const median = (values: readonly number[]) => quantile(values, 0.5);
const sum = (values: readonly number[]) => values.reduce((whole, value) => whole + value, 0);

type Guest = TcgGuest & { own: string };

/** A guest with a second monitor, for ours; what else it has is up to `options`. */
async function startGuest({ devices = [], ...options }: Partial<TcgGuestOptions>): Promise<Guest> {
  const own = mkdtempSync(join(directory, 'guest-'));
  const guest = await startTcgGuest({
    ...{ suite: 'bookworm', machine: 'pc', gdb: true, sharedMemory: true, cpus: 1 },
    ...{ directory: own, modules: ['virtio_pci', 'virtio_blk', 'squashfs', 'overlay'] },
    ...options,
    devices: ['-qmp', `unix:${join(own, 'second')},server=on,wait=off`, ...devices],
  });
  return Object.assign(guest, { own });
}

const attachWords = (guest: Guest, ...more: string[]) => [
  ...['--', main, 'attach', `qemu://${guest.pid}`],
  ...['--overlay', overlay, '--qmp', join(guest.own, 'second'), ...more],
];
const environment = (cache: string) => ({
  ...process.env,
  ...{ NO_COLOR: '1', DEBLOAT_TMPDIR: workspaceParent, XDG_CACHE_HOME: cache, SHELL: '/bin/sh' },
});

/** What a process has printed. */
class Output {
  text = '';
  constructor(process: ChildProcess) {
    for (const stream of [process.stdout, process.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.text += chunk.toString()));
    }
  }
}

async function until(done: () => boolean, what: () => string, seconds = 30): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!done()) {
    if (Date.now() > end) throw new Error(`it took longer than ${seconds} s: ${what()}`);
    await sleep(1);
  }
}

/** Milliseconds of one session: what it says of itself, and from the command to the prompt of its shell. */
interface Session {
  prompt: number;
  prepare: number;
  guest: number;
  ready: number;
  stopped: number;
}

/** `debloat attach VM -- sh` at a terminal of its own, ended at its first prompt. */
async function sessionAtTerminal(guest: Guest, cache: string): Promise<Session> {
  const command = [process.execPath, ...attachWords(guest, '--', 'sh')].join(' ');
  const begun = performance.now();
  const typed = spawn('script', ['--quiet', '--command', command, '/dev/null'], {
    env: environment(cache),
  });
  const closed = once(typed, 'close');
  const output = new Output(typed);
  await until(
    () => /# (\x1b\[6n)?$/.test(output.text), // busybox asks where the cursor is
    () => output.text,
  );
  const prompt = performance.now() - begun;
  typed.stdin.write('exit\r');
  await until(
    () => output.text.includes('in all'),
    () => output.text,
  );
  typed.stdin.end();
  await closed;
  const figures =
    /prepared in (\d+) ms, (\d+) ms in the guest, ready after (\d+) ms; the machine stood ([\d.]+) ms/;
  const [, ...told] = figures.exec(output.text) ?? [];
  const [prepare = NaN, inGuest = NaN, ready = NaN, stopped = NaN] = told.map(Number);
  return { prompt, prepare, guest: inGuest, ready, stopped };
}

describe('a session in a guest', () => {
  let guest: Guest;
  /** How long the guest stood for each session, in milliseconds. */
  const stopped: number[] = [];
  beforeAll(async () => {
    guest = await startGuest({
      // The echo of its second serial line is the peer of our terminal's.
      script: 'mkdir -p /dev/pts\nstty -F /dev/ttyS1 115200\ncat /dev/ttyS1 >/dev/null &\n',
      devices: [
        ...['-chardev', `socket,id=line,path=${join(directory, 'line')},server=on,wait=off`],
        ...['-device', 'isa-serial,chardev=line,index=1'],
      ],
    });
  });
  afterAll(() => guest.stop());

  it('is prepared sooner when the kernel is known', async () => {
    const cold: Session[] = [];
    const warm: Session[] = [];
    for (let round = 0; round < rounds.prompt; round++) {
      const cache = mkdtempSync(join(directory, 'cache-'));
      cold.push(await sessionAtTerminal(guest, cache));
      warm.push(await sessionAtTerminal(guest, cache));
    }
    stopped.push(...[...cold, ...warm].map((each) => each.stopped));
    details['sessions, kernel not known (ms)'] = cold;
    details['sessions, kernel known (ms)'] = warm;
    const of = (name: keyof Session) =>
      [median(warm.map((each) => each[name])), median(cold.map((each) => each[name]))] as const;
    compare('prepare, kernel known : not known', of('prepare'), 'ms', { atMost: 0.3 });
    compare('in the guest, likewise', of('guest'), 'ms');
    compare('stopped, likewise', of('stopped'), 'ms');
    compare('ready, likewise', of('ready'), 'ms');
    compare('command to prompt, likewise', of('prompt'), 'ms');
  });

  it('echoes a key', async () => {
    const words = [path('session-echo.js'), `${guest.pid}`, overlay, join(guest.own, 'second')];
    const { stdout } = await execa(
      process.execPath,
      [...words, join(directory, 'line'), `${rounds.keys}`],
      { timeout: 120_000 },
    );
    const { terminal, serial } = JSON.parse(stdout) as Record<'terminal' | 'serial', number[]>;
    const at = (share: number) => [quantile(terminal, share), quantile(serial, share)] as const;
    compare('echo of a key, terminal : serial line, median', at(0.5), 'ms', { atMost: 2 });
    compare('echo of a key, likewise, p90', at(0.9), 'ms');
  });

  it('stops the guest for moments', async () => {
    const cache = mkdtempSync(join(directory, 'cache-'));
    for (let round = 0; round < rounds.stopped; round++) {
      const { stdout } = await execa(
        process.execPath,
        attachWords(guest, '--format', 'json', '--quiet', '--exec', 'true'),
        { env: environment(cache), timeout: 60_000 },
      );
      const told = JSON.parse(stdout) as { milliseconds: Record<string, number> };
      stopped.push(told.milliseconds['stopped'] ?? NaN);
    }
    details['stopped, each session (ms)'] = stopped;
    rows.push({
      figure: `stopped in all by each of ${stopped.length} sessions: median; p99`,
      ours: `${median(stopped).toFixed(1)} ms`,
      peer: `${quantile(stopped, 0.99).toFixed(1)} ms`,
      ...{ target: '-', met: undefined },
    });
    expect(stopped.every((each) => each > 0)).toBe(true);
  });
});

/** Work per second of the clock, and of the hypervisor's processor time: the latter is not of what else runs here. */
interface Rate {
  clock: number;
  processor: number;
}
/** Lines of the guest's program, one every tenth of a second, that make one rate. */
const periods = 20;

/** Seconds that all threads of a process have run (sched-stats.rst). */
function processorTime(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const told = threads.map((tid) => readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8'));
  return sum(told.map((text) => Number(text.split(' ')[0]))) / 1e9;
}

it('takes nothing from an application in the guest while it is idle', async () => {
  const program = join(directory, 'count');
  execFileSync('gcc', ['-O2', '-static', '-nostdlib', '-o', program, path('count.c')]);
  const guest = await startGuest({
    script: 'mkdir -p /dev/pts\n/count &\n',
    files: new Map([['count', readFileSync(program)]]),
  });
  try {
    /** Pieces of work per second of the clock, and of the hypervisor's processor time, in the next two seconds. */
    const rate = async (): Promise<Rate> => {
      const lines = () => [...guest.console().matchAll(/^work (\d+)\/(\d+)$/gm)];
      const next = async (count: number) => {
        await until(
          () => lines().length >= count,
          () => guest.console().slice(-500),
        );
        return processorTime(guest.pid);
      };
      const first = lines().length + 1; // the period that has begun is not ours
      const begun = await next(first);
      const passed = (await next(first + periods)) - begun;
      const own = lines().slice(first, first + periods);
      const work = sum(own.map(([, pieces]) => Number(pieces)));
      return {
        clock: (work / sum(own.map(([, , ns]) => Number(ns)))) * 1e9,
        processor: work / passed,
      };
    };
    const cache = mkdtempSync(join(directory, 'cache-'));
    const triples: { before: Rate; during: Rate; after: Rate }[] = [];
    for (let round = 0; round < rounds.throughput; round++) {
      const before = await rate();
      const session = spawn(
        process.execPath,
        attachWords(guest, '--', 'sh', '-c', 'echo there; cat'),
        { env: environment(cache) },
      );
      const closed = once(session, 'close');
      const output = new Output(session);
      await until(
        () => output.text.includes('there\n'),
        () => output.text,
      );
      await sleep(4500); // until the stage takes it for idle
      const during = await rate();
      session.stdin.end();
      await closed;
      triples.push({ before, during, after: await rate() });
    }
    details['work per second'] = triples;
    const figures = (by: keyof Rate) =>
      [
        median(triples.map(({ during }) => during[by])),
        median(triples.flatMap(({ before, after }) => [before[by], after[by]])),
      ] as const;
    const ratio = (by: keyof Rate) =>
      median(
        triples.map(({ before, during, after }) => during[by] / ((before[by] + after[by]) / 2)),
      );
    // What differs without a session is the machine's own doing; where that is more than the margin, nothing is shown.
    const drift = median(
      triples.map(({ before, after }) => Math.abs(after.processor / before.processor - 1)),
    );
    details['drift of work per second without a session'] = drift;
    expect.soft(drift, 'the machine is too unsteady for this figure').toBeLessThanOrEqual(0.02);
    compare(
      `work per second of processor time, idle session : none (drift ${drift.toFixed(3)})`,
      ...([figures('processor'), '/s', { atLeast: 0.98 }, ratio('processor')] as const),
    );
    compare('likewise, by the clock', figures('clock'), '/s', {}, ratio('clock'));
  } finally {
    await guest.stop();
  }
});

interface DiskAttach {
  prepare: number;
  stopped: number;
  guest: number;
  detachStopped: number;
  cpu: number;
}

it(`costs each of ${machines} machines at once what it costs one`, async () => {
  const image = join(directory, 'disk');
  writeFileSync(image, Buffer.alloc(1 << 20));
  const cache = mkdtempSync(join(directory, 'cache-'));
  const guests: KvmGuest[] = [];
  try {
    for (let n = 0; n < machines; n++) {
      const own = mkdtempSync(join(directory, 'guest-'));
      guests.push(
        await startKvmGuest({
          suite: 'bookworm',
          directory: own,
          modules: diskModules,
          memory: 128,
        }),
      );
    }
    /** A process of its own attaches a disk, and detaches it. */
    const once = async ({ pid }: KvmGuest): Promise<DiskAttach> => {
      const { stdout } = await execa(
        process.execPath,
        [path('hijack-once.js'), `${pid}`, image, '1', cache],
        { timeout: 120_000 },
      );
      const [round] = JSON.parse(stdout) as DiskAttach[];
      if (round === undefined) throw new Error('no round');
      return round;
    };
    const alone: DiskAttach[] = [];
    const together: DiskAttach[] = [];
    const wall = { alone: 0, together: 0 };
    if (guests[0]) await once(guests[0]); // the kernel is known from now on
    for (let round = 0; round < rounds.parallel; round++) {
      let begun = performance.now();
      for (const guest of guests) alone.push(await once(guest));
      wall.alone += performance.now() - begun;
      begun = performance.now();
      together.push(...(await Promise.all(guests.map(once))));
      wall.together += performance.now() - begun;
    }
    details['disks, one after the other (ms)'] = alone;
    details['disks, all at once (ms)'] = together;
    const cost = (all: readonly DiskAttach[]) =>
      sum(all.map(({ cpu, stopped, detachStopped }) => cpu + stopped + detachStopped)) / all.length;
    const stood = (all: readonly DiskAttach[]) =>
      sum(all.map(({ stopped, detachStopped }) => stopped + detachStopped)) / all.length;
    compare(
      `processor and stopped time per machine, ${machines} at once : alone`,
      [cost(together), cost(alone)],
      'ms',
      { atMost: 1.3 },
    );
    compare('stopped per machine, likewise', [stood(together), stood(alone)], 'ms');
    compare('wall time, all at once : one after the other', [wall.together, wall.alone], 'ms');
  } finally {
    for (const guest of guests) await guest.stop();
  }
});
