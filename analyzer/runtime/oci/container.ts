import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseRawTrace } from '../../trace/parse.js';
import type { RawTrace } from '../../trace/raw.js';
import { listeningIn } from '../listening.js';
import type { Container, ExecResult, ExitStatus } from '../types.js';
import type { OciCli } from './cli.js';
import { execInOciContainer } from './exec.js';
import type { OutputPipe } from './output-pipe.js';
import { signalNumber } from './signal-number.js';
import type { OciProcess } from './spec.js';

export interface StartedOciContainer {
  id: string;
  cli: OciCli;
  /** Of the workload's first process, on this machine. */
  pid: number;
  exited: Promise<ExitStatus>;
  output: OutputPipe;
  /** Where this machine reaches it. */
  host: string;
  /** Of the image. */
  stopSignal: string;
  warnings: string[];
  /** For files of this run. */
  runDir: string;
  /** This machine's side of the sensor's output. */
  traceDirectory: string;
  /** Ports that were listened on in its network namespace before it was there. */
  hadPorts: readonly number[];
  execProcess: (argv: string[], user: string | undefined) => OciProcess;
  release: () => Promise<void>;
}

/** A container that an OCI runtime runs in the foreground of a child of ours. */
export class OciContainer implements Container {
  readonly id: string;
  readonly host: string;
  readonly warnings: readonly string[];
  readonly exited: Promise<ExitStatus>;
  readonly #started: StartedOciContainer;
  #execs = 0;
  #ended = false;
  #removal: Promise<void> | undefined;

  constructor(started: StartedOciContainer) {
    this.#started = started;
    this.id = started.id;
    this.host = started.host;
    this.warnings = started.warnings;
    this.exited = started.exited;
    const end = () => void (this.#ended = true);
    this.exited.then(end, end);
  }

  reach(port: number): { host: string; port: number } {
    return { host: this.host, port };
  }

  async exec(
    argv: string[],
    { user, signal }: { user?: string; signal?: AbortSignal } = {},
  ): Promise<ExecResult> {
    const { cli, execProcess, runDir } = this.#started;
    const name = `exec-${++this.#execs}`;
    return execInOciContainer(cli, this.id, execProcess(argv, user), { dir: runDir, name, signal });
  }

  async kill(signal: string): Promise<void> {
    await this.#started.cli.run('kill', this.id, String(signalNumber(signal)));
  }

  async logs(): Promise<string> {
    // What the workload wrote just before its end may still be in the pipe.
    if (this.#ended) await Promise.race([this.#started.output.ended, delay(1000)]);
    return this.#started.output.toString();
  }

  async listeningPorts(): Promise<number[]> {
    const ports = await listeningIn(`/proc/${this.#started.pid}/net`);
    return ports.filter((port) => !this.#started.hadPorts.includes(port));
  }

  async stop(graceSeconds = 10): Promise<ExitStatus> {
    await this.#killUnlessEnded(this.#started.stopSignal);
    const grace = new AbortController();
    const late = delay(graceSeconds * 1000, 'late' as const, { signal: grace.signal });
    late.catch(() => undefined); // it ended in time
    if ((await Promise.race([this.exited, late])) === 'late')
      await this.#killUnlessEnded('SIGKILL');
    grace.abort();
    return this.exited;
  }

  async collect(): Promise<RawTrace> {
    const { traceDirectory } = this.#started;
    const names = await readdir(traceDirectory);
    return parseRawTrace(
      await Promise.all(names.map((name) => readFile(join(traceDirectory, name)))),
    );
  }

  async remove(): Promise<void> {
    this.#removal ??= this.#started.release();
    await this.#removal;
  }

  async #killUnlessEnded(signal: string): Promise<void> {
    if (this.#ended) return;
    try {
      await this.kill(signal);
    } catch (error) {
      // It may have ended between the question and the signal.
      await Promise.race([this.exited.catch(() => undefined), delay(500)]);
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- changed meanwhile
      if (!this.#ended) throw error;
    }
  }
}
