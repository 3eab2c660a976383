import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { soon } from './session-traces.js';

/** A podman of our own, below one directory, with its service on a socket there. */
export class Podman {
  /** No network; and limits, since those that podman sets itself need CAP_SYS_RESOURCE where this machine's are lower. */
  static readonly alone = [
    ...['--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
  ];
  /** For CONTAINER_HOST. */
  readonly host: string;
  readonly #options: string[];
  readonly #service: ChildProcess;
  readonly #containers: string[] = [];

  private constructor(readonly directory: string) {
    mkdirSync(directory, { recursive: true });
    const socket = join(directory, 'socket');
    this.host = `unix://${socket}`;
    this.#options = [
      ...['--root', join(directory, 'root'), '--runroot', join(directory, 'runroot')],
      ...['--tmpdir', join(directory, 'tmp')],
      // No systemd is asked for anything.
      ...['--cgroup-manager', 'cgroupfs', '--events-backend', 'file'],
    ];
    this.#service = spawn(
      'podman',
      [...this.#options, 'system', 'service', '--time', '0', this.host],
      { stdio: 'ignore' },
    );
  }

  static async start(directory: string): Promise<Podman> {
    const podman = new Podman(directory);
    for (let left = 100; !existsSync(join(directory, 'socket')); left--) {
      if (left === 0 || podman.#service.exitCode !== null) {
        throw new Error('podman’s service does not start');
      }
      await sleep(100);
    }
    return podman;
  }

  /** Run the podman command line; its stdout, trimmed. */
  run(...words: string[]): string {
    // By CONTAINER_HOST the command would ask that service.
    const env = { ...process.env, CONTAINER_HOST: undefined };
    const options = { env, stdio: 'pipe', maxBuffer: 2 ** 26 } as const;
    return execFileSync('podman', [...this.#options, ...words], options)
      .toString()
      .trim();
  }

  /** `podman run --detach`; the container's name. */
  start(name: string, ...options: string[]): string {
    this.run('run', '--detach', '--name', name, ...Podman.alone, ...options);
    this.#containers.push(name);
    return name;
  }

  /** `podman rm --force`, again where podman is itself about to clean up after the container. */
  async remove(name: string): Promise<void> {
    await soon(() => {
      this.run('rm', '--force', '--time', '0', name);
    });
  }

  async stop(): Promise<void> {
    for (const name of this.#containers) await this.remove(name);
    this.run('rmi', '--all', '--force');
    const ended = new Promise((resolve) => this.#service.once('exit', resolve));
    this.#service.kill();
    await ended;
    rmSync(this.directory, { recursive: true, force: true });
  }
}
