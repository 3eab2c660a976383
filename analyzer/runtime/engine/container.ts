import type Docker from 'dockerode';
import type { EngineConnection } from '../engine-connection.js';
import { parseListeners, portsOf } from '../listening.js';
import { listeningArgv, traceDir, tracedArgv } from '../sensor.js';
import type { Container, ExecResult, ExitStatus } from '../types.js';
import { parseRawTrace } from '../../trace/parse.js';
import type { RawTrace } from '../../trace/raw.js';
import { DebloatError } from '../../errors.js';
import { ipOf, listeningByProc, type Address } from './address.js';
import { execInContainer } from './exec.js';
import { engineFailure, engineRequest } from './failure.js';
import { containerLogs } from './logs.js';
import { postSlowly } from './stream.js';
import { filesBelow } from './trace-files.js';

export interface StartedContainer {
  connection: EngineConnection;
  /** Given to the container for the sensor alone. */
  capabilities: string[];
  info: Docker.ContainerInspectInfo;
  address: Address;
  /** Its processes and addresses are this machine's. */
  direct: boolean;
  warnings: string[];
  remove: () => Promise<void>;
}

/** A started container of an engine. */
export class EngineContainer implements Container {
  readonly id: string;
  readonly host: string;
  readonly warnings: readonly string[];
  readonly exited: Promise<ExitStatus>;
  readonly #started: StartedContainer;
  readonly #hadPorts: Promise<number[]>;
  readonly #waiting = new AbortController();
  #removed = false;

  constructor(started: StartedContainer, hadPorts: Promise<number[]>) {
    this.#started = started;
    this.#hadPorts = hadPorts;
    this.id = started.info.Id;
    this.host = started.address.host;
    this.warnings = started.warnings;
    this.exited = this.#wait();
    this.exited.catch(() => undefined); // told to whoever awaits it
  }

  get #docker(): Docker {
    return this.#started.connection.docker;
  }

  reach(port: number): { host: string; port: number } {
    return this.#started.address.reach(port);
  }

  async exec(
    argv: string[],
    options: { user?: string; signal?: AbortSignal } = {},
  ): Promise<ExecResult> {
    const traced = tracedArgv(argv, this.#started.capabilities);
    return execInContainer(this.#docker, this.id, traced, options);
  }

  async kill(signal: string): Promise<void> {
    await engineRequest(
      `send ${signal} to the container`,
      this.#docker.getContainer(this.id).kill({ signal }),
    );
  }

  async logs(): Promise<string> {
    return containerLogs(this.#docker, this.id);
  }

  async listeningPorts(): Promise<number[]> {
    const { info, direct } = this.#started;
    const before = await this.#hadPorts;
    if (info.HostConfig.NetworkMode === 'none') return [];
    const seen = direct ? await listeningByProc(info.State.Pid, ipOf(info)) : undefined;
    if (seen) return seen;
    const { code, stdout, stderr } = await execInContainer(this.#docker, this.id, listeningArgv);
    if (code !== 0) {
      throw new DebloatError(
        `cannot see the container's ports: ${stderr.trim() || `code ${code}`}`,
      );
    }
    return portsOf(parseListeners(stdout)).filter((port) => !before.includes(port));
  }

  async stop(graceSeconds = 10): Promise<ExitStatus> {
    try {
      // Answers 304 if it has ended already, which the library takes for a failure.
      await this.#docker.getContainer(this.id).stop({ t: graceSeconds });
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode !== 304) {
        throw engineFailure('stop the container', error);
      }
    }
    return this.exited;
  }

  async collect(): Promise<RawTrace> {
    return parseRawTrace(await filesBelow(this.#docker, this.id, traceDir));
  }

  async remove(): Promise<void> {
    this.#removed = true;
    this.#waiting.abort();
    await engineRequest('remove the container', this.#started.remove());
  }

  async #wait(): Promise<ExitStatus> {
    try {
      const path = `/containers/${this.id}/wait`;
      const answer = await postSlowly(this.#docker, path, this.#waiting.signal);
      return { code: (answer as { StatusCode: number }).StatusCode };
    } catch (error) {
      if (this.#removed) throw new DebloatError('the container has been removed');
      throw engineFailure('wait for the container', error);
    }
  }
}
