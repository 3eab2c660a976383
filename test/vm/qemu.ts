import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Qmp, QemuEnded } from './qmp.js';

export interface QemuOptions {
  /** The program to run. */
  program: string;
  arguments: string[];
  /** Where its sockets and logs are made. */
  directory: string;
  /** What the names of those files start with. */
  name: string;
  /** A file descriptor that it gets as its number 3. */
  input?: number;
}

const running = new Set<ChildProcess>();
process.once('exit', () => running.forEach((qemu) => qemu.kill('SIGKILL')));

/** A QEMU process with a monitor and a serial console. */
export class Qemu {
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #qmp: Qmp;
  readonly #path: (suffix: string) => string;
  readonly #ended: Promise<void>;

  private constructor(process: ChildProcess, qmp: Qmp, path: (suffix: string) => string) {
    this.pid = process.pid ?? 0;
    this.#process = process;
    this.#qmp = qmp;
    this.#path = path;
    this.#ended = new Promise((resolve) => {
      process.once('exit', () => {
        running.delete(process);
        resolve();
      });
    });
  }

  /** Start QEMU; it is there when its monitor answers. */
  static async start(options: QemuOptions): Promise<Qemu> {
    const path = (suffix: string) => join(options.directory, `${options.name}.${suffix}`);
    for (const suffix of ['qmp', 'console', 'log']) rmSync(path(suffix), { force: true });
    const output = openSync(path('out'), 'w');
    const qemu = spawn(
      options.program,
      [
        ...options.arguments,
        // Telnet, for its BREAK becomes the serial line's.
        ...[
          '-chardev',
          `socket,id=console,path=${path('console')},server=on,wait=off,telnet=on,logfile=${path('log')}`,
        ],
        ...['-serial', 'chardev:console'],
        ...['-qmp', `unix:${path('qmp')},server=on,wait=off`],
      ],
      { stdio: ['ignore', output, output, options.input ?? 'ignore'] },
    );
    closeSync(output);
    running.add(qemu);
    const failed = new Promise<never>((_, reject) => {
      qemu.once('error', reject);
      qemu.once('exit', (code, signal) => {
        running.delete(qemu);
        const told = readFileSync(path('out'), 'utf8');
        reject(new Error(`QEMU has ended (${code ?? signal ?? ''}): ${told}`));
      });
    });
    failed.catch(() => undefined); // heard only until the monitor answers
    const connected = Qmp.connect(path('qmp')).catch((error: unknown) => {
      if (error instanceof QemuEnded) return failed; // which tells why
      throw error;
    });
    return new Qemu(qemu, await Promise.race([connected, failed]), path);
  }

  /** Run a command of the machine protocol; its result, or its error thrown. */
  async qmp(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    try {
      return await this.#qmp.execute(command, args);
    } catch (error) {
      const told = readFileSync(this.#path('out'), 'utf8');
      throw new Error(`${command}: ${(error as Error).message}\n${told}`, { cause: error });
    }
  }

  /** Run a command of the human monitor; what it prints. */
  monitor(line: string): Promise<string> {
    return this.#qmp.human(line);
  }

  /** All that the guest has printed. */
  console(): string {
    return readFileSync(this.#path('log'), 'utf8').replaceAll('\r', '');
  }

  /** Wait until the guest has printed `pattern`; what matched. */
  async printed(pattern: RegExp, seconds: number): Promise<RegExpMatchArray> {
    const limit = Date.now() + seconds * 1000;
    for (;;) {
      const match = this.console().match(pattern);
      if (match) return match;
      if (Date.now() > limit || !running.has(this.#process)) {
        const told = `${readFileSync(this.#path('out'), 'utf8')}${this.console().slice(-3000)}`;
        throw new Error(`the guest did not print ${pattern} in ${seconds} s:\n${told}`);
      }
      await sleep(50);
    }
  }

  /** Send a magic SysRq key over the serial line (Documentation/admin-guide/sysrq.rst). */
  async sysrq(key: string): Promise<void> {
    const line = connect(this.#path('console'));
    await new Promise((resolve, reject) => line.once('connect', resolve).once('error', reject));
    await sleep(100); // QEMU reads nothing before it has sent its telnet options
    line.write(Buffer.concat([Buffer.from([0xff, 0xf3]), Buffer.from(key)])); // IAC BREAK (RFC 854)
    await sleep(300);
    await new Promise((resolve) => {
      line.once('close', resolve);
      line.destroy();
    });
  }

  /** End QEMU, whatever state it is in. */
  async stop(): Promise<void> {
    if (!running.has(this.#process)) return;
    this.#process.kill('SIGCONT');
    this.#process.kill('SIGKILL');
    await this.#ended;
  }
}
