import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { execa } from 'execa';
import { TailBuffer } from '../tail-buffer.js';

/**
 * A named pipe that a container's output goes into, its last bytes kept. A real pipe and not the
 * socket pair that Node makes: programs open /dev/stdout again, which sockets do not allow.
 */
export class OutputPipe {
  /** To hand to a child. */
  readonly descriptor: number;
  /** Resolves when nothing can come any more. */
  readonly ended: Promise<unknown>;
  readonly #tail: TailBuffer;
  readonly #socket: Socket;

  private constructor(socket: Socket, descriptor: number, limit: number | undefined) {
    this.descriptor = descriptor;
    this.#socket = socket;
    this.#tail = new TailBuffer(limit);
    this.ended = once(socket, 'close').catch(() => undefined);
    socket.on('data', (chunk: Buffer) => this.#tail.push(chunk));
  }

  /** Make one at `path`, which is free; it keeps the last `limit` bytes (default 64 KiB). */
  static async create(path: string, limit?: number): Promise<OutputPipe> {
    await execa('mkfifo', ['-m', '600', path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, constants.O_WRONLY);
    return new OutputPipe(new Socket({ fd: reader, writable: false }), writer, limit);
  }

  /** A child has it now: from here on its end can be seen. */
  handOver(): void {
    closeSync(this.descriptor);
  }

  close(): void {
    this.#socket.destroy();
  }

  toString(): string {
    return this.#tail.toString();
  }
}
