import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { DebloatError } from '../../analyzer/errors.js';
import { failedWith } from '../../native/linux/system-error.js';
import { exclusivelyBy } from '../hijack/exclusive.js';

/** Where a monitor listens. */
export type MonitorAddress = { path: string } | { host: string; port: number };

/** How long a monitor may take to greet, and to answer, in milliseconds. */
const patience = { greeting: 3000, answer: 20_000 };

interface Message {
  QMP?: unknown;
  return?: unknown;
  error?: { desc: string };
  event?: string;
  data?: Record<string, unknown>;
}

interface Waiter {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

/** What QEMU answered to a command that it did not carry out. */
export class MonitorError extends DebloatError {
  constructor(
    readonly command: string,
    readonly description: string,
  ) {
    super(`The hypervisor refused ${command}: ${description}`);
  }
}

/** A client of QEMU's machine protocol (its docs/interop/qmp-spec); commands are answered in their order. */
export class Monitor {
  readonly #socket: Socket;
  readonly #waiting: Waiter[] = [];
  readonly #events: { event: string; data: Record<string, unknown> }[] = [];
  #woken: () => void = () => undefined;
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined); // `close` follows
    socket.on('close', () => {
      this.#closed = true;
      this.#waiting.splice(0).forEach(({ reject }) => reject(ended()));
      this.#woken();
    });
  }

  /** Connect. Throws DebloatError where nobody listens, or somebody else is connected. */
  static async connect(address: MonitorAddress): Promise<Monitor> {
    const socket = connect(address);
    const monitor = new Monitor(socket);
    const name = 'path' in address ? address.path : `${address.host}:${address.port}`;
    await new Promise<void>((resolve, reject) => {
      const refuse = (hint: string) => {
        socket.destroy();
        reject(new DebloatError(`The hypervisor’s monitor at ${name} does not answer.`, { hint }));
      };
      const timer = setTimeout(
        () => refuse('another program is connected to it: give another one by --qmp'),
        patience.greeting,
      );
      socket.once('error', (error) => {
        clearTimeout(timer);
        const isFull = failedWith(error, 'EAGAIN');
        refuse(isFull ? 'other programs wait for it: give another one by --qmp' : error.message);
      });
      monitor.#listen(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    try {
      await monitor.execute('qmp_capabilities');
      return monitor;
    } catch (error) {
      monitor.close();
      throw error;
    }
  }

  /** Run a command; its result. Throws MonitorError. */
  async execute(command: string, parameters: Record<string, unknown> = {}): Promise<unknown> {
    if (this.#closed) throw ended();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new MonitorError(command, 'no answer')),
        patience.answer,
      );
      this.#waiting.push({
        resolve: (result) => {
          clearTimeout(timer);
          resolve(result);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error instanceof DebloatError ? error : new MonitorError(command, error.message));
        },
      });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters })}\n`);
    });
  }

  /** Run a command of the human monitor; what it prints. */
  async human(line: string): Promise<string> {
    return String(await this.execute('human-monitor-command', { 'command-line': line }));
  }

  /** Whether an event of this kind, about this device, comes within so many milliseconds. */
  async event(name: string, device: string, milliseconds: number): Promise<boolean> {
    const end = performance.now() + milliseconds;
    for (;;) {
      const at = this.#events.findIndex(
        ({ event, data }) => event === name && data['device'] === device,
      );
      if (at >= 0) return this.#events.splice(at, 1).length > 0;
      const left = end - performance.now();
      if (left <= 0 || this.#closed) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#woken = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #listen(greeted: () => void): void {
    let rest = '';
    this.#socket.setEncoding('utf8').on('data', (chunk) => {
      const lines = `${rest}${chunk.toString()}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const message = parse(line);
        if (message.QMP !== undefined) greeted();
        else if (message.error) this.#waiting.shift()?.reject(new Error(message.error.desc));
        else if ('return' in message) this.#waiting.shift()?.resolve(message.return);
        else if (message.event !== undefined) {
          this.#events.push({ event: message.event, data: message.data ?? {} });
          this.#events.splice(0, Math.max(0, this.#events.length - 200));
          this.#woken();
        }
      }
    });
  }
}

function parse(line: string): Message {
  try {
    return JSON.parse(line) as Message;
  } catch {
    return {}; // a monitor for people, by mistake: it never greets
  }
}

function ended(): DebloatError {
  return new DebloatError('The hypervisor has closed its monitor.', {
    hint: 'the virtual machine has ended',
  });
}

/** Do something with a monitor, which serves one client at a time: others of ours wait for it. */
export async function withMonitor<T>(
  address: MonitorAddress,
  act: (monitor: Monitor) => Promise<T>,
): Promise<T> {
  const name = createHash('sha256').update(JSON.stringify(address)).digest('hex').slice(0, 32);
  return exclusivelyBy(`debloat-monitor-${name}`, async () => {
    const monitor = await Monitor.connect(address);
    try {
      return await act(monitor);
    } finally {
      monitor.close();
    }
  });
}
