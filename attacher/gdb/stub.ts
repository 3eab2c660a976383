import { connect, type Socket } from 'node:net';
import { DebloatError } from '../../analyzer/errors.js';
import type { PagingRegisters } from '../guest/index.js';
import { encodePacket, PacketReader } from './packet.js';
import {
  decodeRegisters,
  encodeRegister,
  registerLayout,
  type RegisterLayout,
} from './register-layout.js';

/** Where a stub listens. */
export type StubAddress = { path: string } | { host: string; port: number };

/** How long a stub may take to answer, in milliseconds. */
const patience = 10_000;

/** Why and where the machine has stopped. */
export interface Stop {
  signal: number;
  /** The stub's name for the processor. */
  thread: string;
}

interface Waiter {
  resolve: (payload: string) => void;
  reject: (error: Error) => void;
}

/**
 * A client of a gdb stub as QEMU speaks it. Connecting stops the machine, and so does losing the
 * connection while it is stopped: whoever connects has it run again, or detaches.
 */
export class GdbStub {
  /** How long the machine stood for us until now, in milliseconds. */
  held = 0;
  #stoppedAt: number | undefined;
  readonly #socket: Socket;
  readonly #reader = new PacketReader();
  readonly #stops: Stop[] = [];
  /** For the answers to come, which have the order of their commands. */
  readonly #answers: Waiter[] = [];
  #stop: Waiter | undefined;
  #layout: RegisterLayout | undefined;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#stoppedAt = performance.now();
    socket.setNoDelay(true);
    socket.on('data', (bytes) => this.#receive(bytes));
    socket.on('error', (error) => this.#fail(lost(error)));
    socket.on('close', () => this.#fail(lost()));
  }

  /** Connect: the machine stands from now on. Throws DebloatError where nobody listens. */
  static async connect(address: StubAddress): Promise<GdbStub> {
    const socket = connect(address);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (error) => {
        reject(
          new DebloatError(`The gdb stub at ${nameOf(address)} does not answer.`, {
            hint: error.message,
            cause: error,
          }),
        );
      });
    });
    const stub = new GdbStub(socket);
    try {
      await stub.#describe();
      return stub;
    } catch (error) {
      // Without an end of its socket our process would have none, either.
      await stub.detach().catch(() => stub.abandon());
      throw error;
    }
  }

  /** Registers of the processor that is selected. */
  async registers(): Promise<Map<string, bigint>> {
    return decodeRegisters(this.#registerLayout, await this.#command('g'));
  }

  /** Write registers of the processor that is selected: all at once, for it stands meanwhile. */
  async setRegisters(values: Iterable<readonly [string, bigint]>): Promise<void> {
    const commands = [...values].map(([name, value]) => {
      const place = this.#registerLayout.get(name);
      if (place === undefined) throw new RangeError(`no register ${name}`);
      return `P${place.number.toString(16)}=${encodeRegister(place, value)}`;
    });
    this.#socket.cork();
    const answers = commands.map((command) => this.#expectOk(command));
    this.#socket.uncork();
    await Promise.all(answers);
  }

  /** All processors. */
  async threads(): Promise<string[]> {
    const names: string[] = [];
    let answer = await this.#command('qfThreadInfo');
    while (answer.startsWith('m') && names.length < 4096) {
      names.push(...answer.slice(1).split(','));
      answer = await this.#command('qsThreadInfo');
    }
    return names;
  }

  async select(thread: string): Promise<void> {
    await this.#expectOk(`Hg${thread}`);
  }

  async setBreakpoint(address: bigint): Promise<void> {
    await this.#expectOk(`Z0,${address.toString(16)},1`);
  }

  async clearBreakpoint(address: bigint): Promise<void> {
    await this.#expectOk(`z0,${address.toString(16)},1`);
  }

  /** Write at a virtual address, as the selected processor translates it. */
  async write(address: bigint, bytes: Uint8Array): Promise<void> {
    const hex = Buffer.from(bytes).toString('hex');
    await this.#expectOk(`M${address.toString(16)},${bytes.length.toString(16)}:${hex}`);
  }

  /** Read at a virtual address, as the selected processor translates it; undefined if there is nothing. */
  async read(address: bigint, length: number): Promise<Uint8Array | undefined> {
    const answer = await this.#command(`m${address.toString(16)},${length.toString(16)}`);
    const bytes = Buffer.from(answer, 'hex');
    return bytes.length === length ? bytes : undefined;
  }

  /** Let all processors go on. */
  resume(): void {
    this.#stops.length = 0;
    this.#send('vCont;c');
    this.#standing(false);
  }

  /** One instruction of one processor, the others standing. */
  async step(thread: string): Promise<Stop> {
    this.#stops.length = 0;
    this.#send(`vCont;s:${thread}`);
    return this.nextStop(patience);
  }

  /** Stop the machine while it runs. */
  async interrupt(): Promise<Stop> {
    this.#socket.write('\x03');
    return this.nextStop(patience);
  }

  /** Stop the machine if it runs. */
  async stand(): Promise<void> {
    if (this.#stoppedAt === undefined) await this.interrupt();
  }

  /** Wait until the machine stops. Throws DebloatError when it has not after so many milliseconds. */
  async nextStop(milliseconds: number): Promise<Stop> {
    const early = this.#stops.shift();
    if (early) return early;
    await this.#wait(milliseconds, 'the guest came to no stop', (waiter) => (this.#stop = waiter));
    const stop = this.#stops.shift();
    if (stop === undefined) throw lost();
    return stop;
  }

  /** Leave: breakpoints go, and the machine runs. */
  async detach(): Promise<void> {
    if (this.#failure) throw this.#failure;
    await this.#command('D');
    this.#standing(false);
    await this.#close();
  }

  /** Leave at once, whatever becomes of the machine. */
  async abandon(): Promise<void> {
    await this.#close();
  }

  async #close(): Promise<void> {
    if (this.#socket.closed) return;
    await new Promise((resolve) => {
      this.#socket.once('close', resolve);
      this.#socket.destroy();
    });
  }

  async #describe(): Promise<void> {
    // Without the question QEMU sends no description, and registers in a shorter format.
    await this.#command('qSupported:swbreak+;xmlRegisters=i386');
    const target = await this.#transfer('target.xml');
    let description = target;
    for (const [, file = ''] of target.matchAll(/<xi:include\s+href="([\w.-]+)"/g)) {
      description += await this.#transfer(file);
    }
    this.#layout = registerLayout(description);
  }

  async #transfer(file: string): Promise<string> {
    let text = '';
    for (let pieces = 0; pieces < 1000; pieces++) {
      const at = text.length.toString(16);
      const answer = await this.#command(`qXfer:features:read:${file}:${at},ff0`);
      if (!/^[ml]/.test(answer)) break;
      text += answer.slice(1);
      if (answer.startsWith('l')) break;
    }
    return text;
  }

  get #registerLayout(): RegisterLayout {
    if (this.#layout === undefined) throw new Error('the stub was not asked for its layout');
    return this.#layout;
  }

  async #expectOk(command: string): Promise<void> {
    const answer = await this.#command(command);
    if (answer !== 'OK') {
      throw new DebloatError(
        `The gdb stub refused “${command.slice(0, 40)}”: ${answer || 'unknown to it'}.`,
      );
    }
  }

  async #command(payload: string): Promise<string> {
    this.#send(payload);
    return this.#wait(patience, 'the gdb stub does not answer', (waiter) => {
      this.#answers.push(waiter);
    });
  }

  #send(payload: string): void {
    if (this.#failure) throw this.#failure;
    this.#socket.write(encodePacket(payload), 'latin1');
  }

  #wait(milliseconds: number, what: string, set: (waiter: Waiter) => void): Promise<string> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new DebloatError(`After ${milliseconds / 1000} s ${what}.`));
      }, milliseconds);
      set({
        resolve: (payload) => {
          clearTimeout(timer);
          resolve(payload);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
    });
  }

  #receive(bytes: Uint8Array): void {
    let payloads: string[];
    try {
      payloads = this.#reader.push(bytes);
    } catch (error) {
      this.#fail(new DebloatError('What listens there is no gdb stub.', { cause: error }));
      this.#socket.destroy();
      return;
    }
    for (const payload of payloads) {
      this.#socket.write('+');
      const stop = stopOf(payload);
      if (stop) {
        this.#standing(true);
        this.#stops.push(stop);
        const waiter = this.#stop;
        this.#stop = undefined;
        waiter?.resolve(payload);
      } else {
        this.#answers.shift()?.resolve(payload);
      }
    }
  }

  #standing(stands: boolean): void {
    if (stands) {
      this.#stoppedAt ??= performance.now();
    } else if (this.#stoppedAt !== undefined) {
      this.held += performance.now() - this.#stoppedAt;
      this.#stoppedAt = undefined;
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiter of this.#answers.splice(0)) waiter.reject(error);
    this.#stop?.reject(error);
    this.#stop = undefined;
  }
}

/** "T05thread:01;" or "S05"; undefined for any other answer. */
function stopOf(payload: string): Stop | undefined {
  const [, signal, rest = ''] = /^[TS]([0-9a-f]{2})((?:[^:;]+:[^;]*;)*)$/.exec(payload) ?? [];
  if (signal === undefined) return undefined;
  return { signal: parseInt(signal, 16), thread: /thread:([^;]+);/.exec(rest)?.[1] ?? '' };
}

function lost(cause?: Error): DebloatError {
  return new DebloatError('The connection to the gdb stub was lost.', {
    hint: 'the virtual machine has ended, or someone else uses its stub',
    ...(cause ? { cause } : {}),
  });
}

/** As a person would write it. */
export function nameOf(address: StubAddress): string {
  return 'path' in address ? address.path : `${address.host}:${address.port}`;
}

/** The registers by which a processor finds its page tables. */
export function pagingRegisters(values: ReadonlyMap<string, bigint>): PagingRegisters {
  const value = (name: string) => values.get(name) ?? 0n;
  return { cr0: value('cr0'), cr3: value('cr3'), cr4: value('cr4'), efer: value('efer') };
}
