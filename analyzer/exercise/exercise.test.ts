import { spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DebloatError } from '../errors.js';
import type { RunConfig } from '../image/types.js';
import type { Container, ExecResult, ExitStatus } from '../runtime/types.js';
import { exercise } from './exercise.js';
import type { ExercisePlan } from './types.js';

/** A workload inside this process: a real HTTP server where a container would have one. */
class LocalContainer implements Container {
  readonly id = 'local';
  readonly host = '127.0.0.1';
  readonly warnings = [];
  readonly exited: Promise<ExitStatus>;
  readonly execs: string[][] = [];
  #exit: (status: ExitStatus) => void = () => undefined;

  constructor(
    private readonly ports: () => number[],
    private readonly answer: (argv: string[]) => ExecResult = () => ({
      code: 0,
      stdout: '',
      stderr: '',
    }),
  ) {
    this.exited = new Promise((resolve) => (this.#exit = resolve));
  }
  end(code: number): void {
    this.#exit({ code });
  }
  reach(port: number) {
    return { host: this.host, port };
  }
  exec(argv: string[]): Promise<ExecResult> {
    this.execs.push(argv);
    return Promise.resolve(this.answer(argv));
  }
  listeningPorts() {
    return Promise.resolve(this.ports());
  }
  kill = () => Promise.resolve();
  logs = () => Promise.resolve('');
  stop = () => Promise.resolve({ code: 0 });
  collect = () =>
    Promise.resolve({ records: [], events: 0, unreadable: new Map<string, number>() });
  remove = () => Promise.resolve();
}

const servers: Server[] = [];
afterEach(() => servers.splice(0).forEach((server) => server.close()));

async function serve(status: number): Promise<number> {
  const server = createServer((_, response) => response.writeHead(status).end('hello'));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const planOf = (probes: ExercisePlan['probes'], timeout = 5): ExercisePlan => ({
  probes,
  continueAfter: { kind: 'probes' },
  timeout,
});
const optionsOf = (config: RunConfig = {}, signal = new AbortController().signal) => ({
  config,
  signal,
});

describe('exercise', () => {
  it('waits for the port, then probes', async () => {
    const port = await serve(200);
    let asked = 0;
    const container = new LocalContainer(() => (++asked < 3 ? [] : [port]));
    const result = await exercise(
      container,
      planOf([
        { kind: 'http', port, path: '/' },
        { kind: 'tcp', port },
      ]),
      optionsOf(),
    );
    expect(result.failure).toBeUndefined();
    expect(result.outcomes.map(({ ok, detail }) => [ok, detail])).toEqual([
      [true, 'HTTP 200, 5 bytes'],
      [true, `connected to port ${port}`],
    ]);
    expect(asked).toBeGreaterThanOrEqual(3);
  });

  it('names the probe that failed and stops there', async () => {
    const port = await serve(503);
    const container = new LocalContainer(() => [port]);
    const result = await exercise(
      container,
      planOf([
        { kind: 'http', port, path: '/x' },
        { kind: 'exec', command: 'id' },
      ]),
      optionsOf(),
    );
    expect(result.failure).toMatch(/the probe --http '\d+:\/x' failed: HTTP 503/);
    expect(container.execs).toEqual([]);
  });

  it('says so when the workload ends before it can be used', async () => {
    const container = new LocalContainer(() => []);
    container.end(3);
    const result = await exercise(container, planOf([{ kind: 'tcp', port: 1 }]), optionsOf());
    expect(result.failure).toBe('the workload ended with exit code 3 before it could be used');
  });

  it('takes a job that runs to its end with exit code 0 as a success', async () => {
    const container = new LocalContainer(() => []);
    container.end(0);
    expect((await exercise(container, planOf([]), optionsOf())).failure).toBeUndefined();
  });

  it('takes such a job for one where the image, made for a server, exposes a port', async () => {
    const config = { ExposedPorts: { '80/tcp': {} } };
    const job = new LocalContainer(() => []);
    job.end(0);
    expect(await exercise(job, planOf([]), optionsOf(config))).toEqual({
      outcomes: [],
      ready: 'it ran to its end',
    });
    const asked = new LocalContainer(() => []);
    asked.end(0);
    const result = await exercise(asked, planOf([{ kind: 'tcp', port: 80 }]), optionsOf(config));
    expect(result.failure).toBe('the workload ended with exit code 0 before it could be used');
  });

  it('says what it waited for', async () => {
    const container = new LocalContainer(() => []);
    const result = await exercise(container, planOf([{ kind: 'tcp', port: 99 }], 0.2), optionsOf());
    expect(result.failure).toBe('the workload did not listen on port 99 within 0.2 s');
  });

  it('takes a passing healthcheck as readiness', async () => {
    let tries = 0;
    const container = new LocalContainer(
      () => [],
      () => ({ code: ++tries < 3 ? 1 : 0, stdout: '', stderr: '' }),
    );
    const config = { Healthcheck: { Test: ['CMD-SHELL', 'check-me'] } };
    const result = await exercise(
      container,
      planOf([{ kind: 'exec', command: 'id -u' }]),
      optionsOf(config),
    );
    expect(result).toMatchObject({ ready: 'its healthcheck passes' });
    expect(container.execs.slice(-2)).toEqual([
      ['/bin/sh', '-c', 'check-me'],
      ['id', '-u'],
    ]);
  });

  it('tells a host command where the workload is', async () => {
    const port = await serve(200);
    const container = new LocalContainer(() => [port]);
    const command = `test "$DEBLOAT_CONTAINER:$DEBLOAT_HOST:$DEBLOAT_PORT_${port}" = local:127.0.0.1:${port} || { env >&2; exit 9; }`;
    const config = { ExposedPorts: { [`${port}/tcp`]: {} } };
    const result = await exercise(
      container,
      planOf([{ kind: 'host-exec', command }]),
      optionsOf(config),
    );
    expect(result.failure).toBeUndefined();
  });

  it('probes only those exposed ports that are listened on, if nobody says how to use the image', async () => {
    const port = await serve(200);
    const container = new LocalContainer(() => [port]);
    const config = { ExposedPorts: { [`${port}/tcp`]: {}, '9/tcp': {}, '53/udp': {} } };
    const result = await exercise(container, planOf([]), optionsOf(config));
    expect(result.outcomes.map((outcome) => outcome.probe)).toEqual([{ kind: 'tcp', port }]);
  });

  it('stops at once when aborted', async () => {
    const controller = new AbortController();
    const container = new LocalContainer(() => []);
    const running = exercise(
      container,
      planOf([{ kind: 'tcp', port: 99 }], 60),
      optionsOf({}, controller.signal),
    );
    controller.abort(new Error('enough'));
    await expect(running).rejects.toThrow();
  });

  it('stays as long as asked after the probes', async () => {
    const port = await serve(200);
    const container = new LocalContainer(() => [port]);
    const plan = {
      ...planOf([{ kind: 'tcp', port } as const]),
      continueAfter: { kind: 'signal' } as const,
    };
    const running = exercise(container, plan, {
      ...optionsOf(),
      update: (text) => {
        if (text.startsWith('running until'))
          setImmediate(() => process.kill(process.pid, 'SIGUSR1'));
      },
    });
    expect((await running).failure).toBeUndefined();
  });

  it('lets probes that need no port tell by themselves', async () => {
    const container = new LocalContainer(() => []);
    const result = await exercise(
      container,
      planOf([{ kind: 'exec', command: 'drain the-queue' }]),
      optionsOf(),
    );
    expect(result).toMatchObject({ ready: 'it runs', outcomes: [{ ok: true }] });
  });

  it('says where the workload listens instead', async () => {
    const container = new LocalContainer(() => [8080]);
    const result = await exercise(container, planOf([{ kind: 'tcp', port: 80 }], 0.1), optionsOf());
    expect(result.failure).toBe(
      'the workload did not listen on port 80 within 0.1 s (it listens on port 8080)',
    );
  });

  it('does not wait for a workload that has ended during a probe', async () => {
    const port = await serve(200);
    const container = new LocalContainer(
      () => [port],
      () => {
        container.end(139);
        throw new DebloatError('no such process');
      },
    );
    const result = await exercise(
      container,
      planOf([
        { kind: 'tcp', port },
        { kind: 'exec', command: 'crash' },
      ]),
      optionsOf(),
    );
    expect(result.failure).toBe(
      "the probe --exec 'crash' failed: the workload has ended with exit code 139",
    );
  });

  it('is a failure when the workload crashes while it is left to run', async () => {
    const port = await serve(200);
    const container = new LocalContainer(() => [port]);
    const plan = {
      ...planOf([{ kind: 'tcp', port } as const]),
      continueAfter: { kind: 'seconds', seconds: 60 } as const,
    };
    const running = exercise(container, plan, {
      ...optionsOf(),
      update: (text) => {
        if (text.startsWith('running for')) container.end(134);
      },
    });
    expect((await running).failure).toBe('the workload ended by itself with exit code 134');
  });

  it('does not wait for ever for a healthcheck that hangs', async () => {
    const container = new LocalContainer(() => []);
    let tries = 0;
    container.exec = (_argv: string[], { signal }: { signal?: AbortSignal } = {}) =>
      ++tries > 1
        ? Promise.resolve({ code: 0, stdout: '', stderr: '' })
        : new Promise((_, reject) =>
            signal?.addEventListener('abort', () => reject(signal.reason as Error)),
          );
    const config = { Healthcheck: { Test: ['CMD', 'check'], Timeout: 50e6 } };
    expect((await exercise(container, planOf([]), optionsOf(config))).ready).toContain('health');
  });

  it('takes an answer that is cut off for a failure', async () => {
    const server = createServer((_, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('short', () => response.destroy());
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const result = await exercise(
      new LocalContainer(() => [port]),
      planOf([{ kind: 'http', port, path: '/' }]),
      optionsOf(),
    );
    expect(result.failure).toContain('then cut off');
  });

  it('ends what a host command leaves in the background, and the command when aborted', async () => {
    const port = await serve(200);
    const container = new LocalContainer(() => [port]);
    const controller = new AbortController();
    const mark = `debloat-test-${process.pid}`;
    const left = () => {
      const { stdout } = spawnSync('pgrep', ['-f', `sleep 31.*${mark}`], { encoding: 'utf8' });
      return stdout.trim();
    };
    const quick = planOf([{ kind: 'host-exec', command: `sh -c 'sleep 31; : ${mark}' & exit 0` }]);
    expect((await exercise(container, quick, optionsOf())).failure).toBeUndefined();
    await expect.poll(left).toBe('');
    const slow = planOf([{ kind: 'host-exec', command: `sh -c 'sleep 31; : ${mark}'` }], 60);
    const running = exercise(container, slow, optionsOf({}, controller.signal));
    await expect.poll(left).not.toBe('');
    controller.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    await expect.poll(left).toBe('');
  });
});
