import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

interface Message {
  return?: unknown;
  error?: { desc: string };
  event?: string;
}

interface Waiter {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

/** What is thrown when QEMU has ended before it answered. */
export class QemuEnded extends Error {
  constructor() {
    super('QEMU has ended');
  }
}

/** A client of QEMU's machine protocol (docs/interop/qmp-spec); commands are answered in their order. */
export class Qmp {
  readonly #socket: Socket;
  readonly #waiting: Waiter[] = [];
  /** Events that nobody has waited for yet. */
  readonly #events: string[] = [];
  readonly #eventWaiters: (Waiter & { event: string })[] = [];
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined); // `close` follows
    socket.on('close', () => {
      this.#closed = true;
      const waiters = [...this.#waiting.splice(0), ...this.#eventWaiters.splice(0)];
      waiters.forEach(({ reject }) => reject(new QemuEnded()));
    });
    let rest = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      const lines = `${rest}${chunk.toString()}`.split('\n');
      rest = lines.pop() ?? '';
      lines.forEach((line) => this.#receive(JSON.parse(line) as Message));
    });
  }

  /** Connect to the socket at `path`, waiting up to ten seconds for it to be there. */
  static async connect(path: string): Promise<Qmp> {
    const limit = Date.now() + 10_000;
    for (;;) {
      const socket = connect(path);
      const connected = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true));
        socket.once('error', () => resolve(false));
      });
      if (connected) {
        const qmp = new Qmp(socket);
        await qmp.execute('qmp_capabilities');
        return qmp;
      }
      if (Date.now() > limit) throw new Error(`QEMU made no socket at ${path}`);
      await sleep(20);
    }
  }

  /** Run a command; its result, or its error thrown. */
  execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    if (this.#closed) return Promise.reject(new QemuEnded());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
  }

  /** Run a command of the human monitor; what it prints. */
  async human(line: string): Promise<string> {
    return String(await this.execute('human-monitor-command', { 'command-line': line }));
  }

  /** Wait for an event, or take one that has come already; each is taken once. */
  async event(name: string): Promise<void> {
    const index = this.#events.indexOf(name);
    if (index >= 0) this.#events.splice(index, 1);
    else if (this.#closed) throw new QemuEnded();
    else {
      await new Promise((resolve, reject) =>
        this.#eventWaiters.push({ event: name, resolve, reject }),
      );
    }
  }

  /** Disconnect; QEMU goes on. */
  close(): void {
    this.#socket.destroy();
  }

  #receive(message: Message): void {
    if (message.event !== undefined) this.#happened(message.event);
    else if (message.error) this.#waiting.shift()?.reject(new Error(message.error.desc));
    else if ('return' in message) this.#waiting.shift()?.resolve(message.return);
  }

  #happened(event: string): void {
    const index = this.#eventWaiters.findIndex((waiter) => waiter.event === event);
    if (index < 0) this.#events.push(event);
    else this.#eventWaiters.splice(index, 1)[0]?.resolve(undefined);
  }
}
