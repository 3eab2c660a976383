import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, connect } from 'node:net';
import { join } from 'node:path';
import { hostPort, qemuCommand } from '../../builder/vm/command-lines.js';
import type { VmDescription } from '../../builder/vm/description.js';

const limit = 120_000;

/** A microVM of `debloat build --vm`, run by the very command that it prints, but without KVM. */
export class MicroVm {
  readonly #qemu: ChildProcess;
  readonly #monitor: string;
  readonly #port: number;
  readonly #ended: Promise<void>;
  readonly startedAt = performance.now();
  output = '';

  private constructor(qemu: ChildProcess, monitor: string, port: number) {
    this.#qemu = qemu;
    this.#monitor = monitor;
    this.#port = port;
    const collect = (chunk: Buffer) => (this.output += chunk.toString().replaceAll('\r', ''));
    qemu.stdout?.on('data', collect);
    qemu.stderr?.on('data', collect);
    const timer = setTimeout(() => qemu.kill('SIGKILL'), limit);
    this.#ended = new Promise((resolve, reject) => {
      qemu.once('error', reject);
      qemu.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Boot the machine in `dir`; `change` may alter the command. */
  static async boot(
    dir: string,
    vm: VmDescription,
    change: (command: string) => string = (command) => command,
  ): Promise<MicroVm> {
    const port = await freePort();
    const monitor = join(dir, 'monitor');
    const [guestPort = 0] = vm.ports;
    const command = change(qemuCommand(vm))
      // /dev/kvm is not backed by hardware everywhere
      .replace('-accel kvm ', '')
      .replace(`127.0.0.1:${hostPort(guestPort)}-`, `127.0.0.1:${port}-`);
    const withMonitor = `exec ${command} -monitor unix:${monitor},server,nowait`;
    const qemu = spawn('sh', ['-c', withMonitor], { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
    return new MicroVm(qemu, monitor, port);
  }

  /** What an HTTP server in it answers, once it does. */
  async get(path: string): Promise<string> {
    for (;;) {
      if (this.#qemu.exitCode !== null) throw new Error(`the machine is off:\n${this.output}`);
      try {
        const response = await fetch(`http://127.0.0.1:${this.#port}${path}`, {
          signal: AbortSignal.timeout(3000),
        });
        return await response.text();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** Press the power button. */
  async pressPowerButton(): Promise<void> {
    const socket = connect(this.#monitor);
    await new Promise((resolve) => socket.once('data', resolve));
    socket.write('system_powerdown\n');
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.destroy();
  }

  /** All that it has printed, when it is off. */
  async whenOff(): Promise<string> {
    await this.#ended;
    if (this.#qemu.signalCode !== null) throw new Error(`the machine hung:\n${this.output}`);
    return this.output;
  }

  kill(): void {
    this.#qemu.kill('SIGKILL');
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
