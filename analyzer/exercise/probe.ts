import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { connect } from 'node:net';
import { messageOf } from '../errors.js';
import type { Container } from '../runtime/types.js';
import { argvOf } from './command-line.js';
import { statusIsExpected } from './parse-probe.js';
import type { Probe } from './types.js';

/** What one attempt at a probe gave. */
export interface Attempt {
  ok: boolean;
  detail: string;
  /** Of an HTTP probe that was answered. */
  status?: number;
  /** True if the workload may only need a moment more (nobody listens yet). */
  retry?: boolean;
}

export interface ProbeContext {
  container: Container;
  /** Port of an `http` probe that names none. */
  httpPort: number;
  /** Ports to tell a host command of. */
  ports: readonly number[];
  signal: AbortSignal;
}

const maxBody = 1 << 20;

/** Do `probe` once. Rejects only if aborted. */
export async function attemptProbe(probe: Probe, context: ProbeContext): Promise<Attempt> {
  context.signal.throwIfAborted();
  switch (probe.kind) {
    case 'http':
      return attemptHttp(probe, context);
    case 'tcp':
      return attemptTcp(probe.port, context);
    case 'exec':
      return attemptExec(probe.command, context);
    case 'host-exec':
      return attemptHostExec(probe.command, context);
  }
}

function attemptHttp(
  probe: Probe & { kind: 'http' },
  { container, httpPort, signal }: ProbeContext,
): Promise<Attempt> {
  const { host, port } = container.reach(probe.port ?? httpPort);
  return new Promise((resolve) => {
    const headers = { host: 'localhost', connection: 'close', ...probe.headers };
    const call = request({
      host,
      port,
      path: probe.path,
      method: probe.method ?? 'GET',
      headers,
      signal,
    });
    call.on('response', (response) => {
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > maxBody) response.destroy(); // a stream without end has been exercised enough
      });
      response.on('close', () => {
        const status = response.statusCode ?? 0;
        const whole = response.complete || size > maxBody;
        const expected = statusIsExpected(status, probe.expect);
        const wanted = expected || probe.expect === undefined ? '' : ` instead of ${probe.expect}`;
        resolve({
          ok: whole && expected,
          detail: `HTTP ${status}${wanted}, ${size} bytes${whole ? '' : ', then cut off'}`,
          status,
        });
      });
    });
    call.on('error', (error) => {
      resolve({
        ok: false,
        detail: `${messageOf(error)} (port ${probe.port ?? httpPort})`,
        retry: isTooEarly(error),
      });
    });
    call.end(probe.body);
  });
}

function attemptTcp(wanted: number, { container, signal }: ProbeContext): Promise<Attempt> {
  const { host, port } = container.reach(wanted);
  return new Promise((resolve) => {
    const socket = connect({ host, port, signal });
    socket.on('connect', () => {
      socket.destroy();
      resolve({ ok: true, detail: `connected to port ${wanted}` });
    });
    socket.on('error', (error) => {
      resolve({
        ok: false,
        detail: `${messageOf(error)} (port ${wanted})`,
        retry: isTooEarly(error),
      });
    });
  });
}

async function attemptExec(command: string, { container, signal }: ProbeContext): Promise<Attempt> {
  const { code, stdout, stderr } = await container.exec(argvOf(command), { signal });
  return { ok: code === 0, detail: describeExit(code, stderr || stdout) };
}

function attemptHostExec(
  command: string,
  { container, ports, signal }: ProbeContext,
): Promise<Attempt> {
  const reached = ports.map((port): [string, string] => [
    `DEBLOAT_PORT_${port}`,
    String(container.reach(port).port),
  ]);
  const env = {
    ...process.env,
    DEBLOAT_CONTAINER: container.id,
    DEBLOAT_HOST: container.host,
    ...Object.fromEntries(reached),
  };
  return new Promise((resolve, reject) => {
    // A process group of its own, so that nothing the command started outlives an interrupt.
    const child = spawn('/bin/sh', ['-c', command], {
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let tail = '';
    const collect = (chunk: Buffer) => void (tail = (tail + chunk.toString()).slice(-4096));
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const stop = () => killGroup(child.pid);
    signal.addEventListener('abort', stop, { once: true });
    child.on('error', reject);
    child.on('exit', stop); // what it left in the background
    child.on('close', (code, killedBy) => {
      signal.removeEventListener('abort', stop);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve({ ok: code === 0, detail: describeExit(code ?? killedBy ?? 'unknown', tail) });
    });
  });
}

function killGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, 'SIGKILL');
  } catch {
    // none of it is left
  }
}

function describeExit(code: number | string, output: string): string {
  if (code === 0) return 'exit code 0';
  const said = output.trim().split('\n').slice(-5).join('\n');
  return `exit code ${code}${said === '' ? '' : `: ${said}`}`;
}

function isTooEarly(error: Error & { code?: string }): boolean {
  return ['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'EPIPE', 'ETIMEDOUT'].includes(
    error.code ?? '',
  );
}
