import { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { describeRegisters } from './describe.js';
import { encodePacket, PacketReader } from './packet.js';
import { decodeRegisters, encodeRegister, type RegisterLayout } from './register-layout.js';
import { stopOf, type Stop } from './stop-reply.js';

/** Where a stub listens. */
export type StubAddress = { path: string } | { host: string; port: number };

/** How long a stub may take to answer, in milliseconds. */
const patience = 10_000;

/** Processors that are asked for at a time. */
const threadsAtATime = 8;

/** What a stub tells of its first processor, and how that is to be read. */
export interface StubLook {
  layout: RegisterLayout;
  answer: string;
}

interface Waiter {
  resolve: (payload: string) => void;
  reject: (error: Error) => void;
}

/**
 * A client of a gdb stub as QEMU speaks it. Connecting stops the machine, and so does losing the
 * connection while it is stopped: whoever connects has it run again, or detaches.
 *
 * Commands are sent when they are called and answered in their order, so several can be on their way:
 * the machine then stands only for as long as the stub takes for them. Answers are not acknowledged:
 * a stub of QEMU takes the next command for that, and while the machine runs any byte stops it
 * (gdb_read_byte in its gdbstub.c).
 */
export class GdbStub {
  /** How long the machine stood for us until now, in milliseconds. */
  held = 0;
  /** From the beginning on: it will stand when we are connected. */
  #stoppedAt: number | undefined = Infinity;
  readonly #socket: Socket;
  readonly #reader = new PacketReader();
  readonly #stops: Stop[] = [];
  /** A stop that is told of before is the one by our coming, of which not every QEMU tells. */
  #hasAnswered = false;
  /** For the answers to come, which have the order of their commands. */
  readonly #answers: Waiter[] = [];
  #stop: Waiter | undefined;
  /** Where the machine goes on when all that was sent before has been answered: the last of that. */
  #goesOnAfter: Waiter | undefined;
  readonly #described: Promise<RegisterLayout>;
  #places: RegisterLayout | undefined;
  #failure: Error | undefined;
  #left = false;

  private constructor(address: StubAddress, layout?: RegisterLayout) {
    const socket = new Socket();
    this.#socket = socket;
    let connected = false;
    socket.setNoDelay(true);
    socket.once('connect', () => (connected = true));
    socket.on('data', (bytes) => this.#receive(bytes));
    socket.on('error', (error) => this.#fail(connected ? lost(error) : noAnswer(address, error)));
    socket.on('close', () => this.#fail(lost()));
    this.#places = layout;
    // The machine stands as soon as the connection is there: what is to be sent first is ready by then.
    socket.cork();
    setImmediate(() => {
      if (socket.destroyed) return;
      this.#stoppedAt = performance.now();
      socket.connect(address);
      socket.uncork();
    });
    this.#described = this.#describe(layout);
    this.#described.catch(() => undefined); // whoever needs it is told
  }

  /**
   * Connect, which stops the machine. What is sent at once is done as soon as the stub is there; where
   * nobody listens, that throws DebloatError. `layout`: as an earlier connection learnt it.
   */
  static open(address: StubAddress, layout?: RegisterLayout): GdbStub {
    return new GdbStub(address, layout);
  }

  /** Connect, and learn of the registers. Throws DebloatError where nobody listens. */
  static async connect(address: StubAddress): Promise<GdbStub> {
    const stub = new GdbStub(address);
    try {
      await stub.#described;
      return stub;
    } catch (error) {
      // Without an end of its socket our process would have none, either.
      await stub.detach().catch(() => stub.abandon());
      throw error;
    }
  }

  /** Send all that `send` has to say in one go. */
  together<T>(send: () => T): T {
    this.#socket.cork();
    try {
      return send();
    } finally {
      this.#socket.uncork();
    }
  }

  /** Registers of the processor that is selected. */
  async registers(): Promise<Map<string, bigint>> {
    const answer = await this.#command('g');
    return decodeRegisters(await this.#described, answer);
  }

  /**
   * Look at the registers of the processor that is selected, and leave: `atOnce`, without waiting for an
   * answer, which only a stub allows that describes registers as QEMU's does. Throws DebloatError.
   */
  async look(atOnce: boolean): Promise<StubLook> {
    if (!atOnce) await this.#described;
    const [answer] = await this.together(() => Promise.all([this.#command('g'), this.detach()]));
    return { layout: await this.#described, answer };
  }

  /** How its registers lie, once some were read. */
  get layout(): RegisterLayout | undefined {
    return this.#places;
  }

  /** Write registers of the processor that is selected, after some were read. */
  setRegisters(values: Iterable<readonly [string, bigint]>): Promise<unknown> {
    const commands = [...values].map(([name, value]) => {
      const place = this.#places?.get(name);
      if (place === undefined) throw new RangeError(`no register ${name}`);
      return `P${place.number.toString(16)}=${encodeRegister(place, value)}`;
    });
    return this.together(() => Promise.all(commands.map((command) => this.#expectOk(command))));
  }

  /** All processors. */
  async threads(): Promise<string[]> {
    const names: string[] = [];
    let command = 'qfThreadInfo';
    while (names.length < 4096) {
      const answers = this.together(() =>
        Promise.all(
          Array.from({ length: threadsAtATime }, () => {
            const answer = this.#command(command);
            command = 'qsThreadInfo';
            return answer;
          }),
        ),
      );
      for (const answer of await answers) {
        if (!answer.startsWith('m')) return names;
        names.push(...answer.slice(1).split(','));
      }
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

  /** Let all processors go on, when what was sent before is done. */
  resume(): void {
    this.#stops.length = 0;
    this.#send('vCont;c');
    this.#goesOnAfter = this.#answers.at(-1);
    if (this.#goesOnAfter === undefined) this.#standing(false);
  }

  /** One instruction of one processor, the others standing. */
  async step(thread: string): Promise<Stop> {
    this.#stops.length = 0;
    this.#send(`vCont;s:${thread}`);
    return this.nextStop(patience);
  }

  /** Stop the machine while it runs. */
  async interrupt(): Promise<Stop> {
    const stop = this.nextStop(patience);
    this.#socket.write('\x03');
    return stop;
  }

  /** Stop the machine if it runs. */
  async stand(): Promise<void> {
    if (this.#stoppedAt === undefined) await this.interrupt();
  }

  /** Have `send` sent while the machine stands, be it for no longer than that takes, and go on. */
  async pass<T>(send: () => Promise<T>): Promise<T> {
    if (this.#failure) throw this.#failure;
    const runs = this.#stoppedAt === undefined;
    const [, result] = await this.together(() => {
      const stopped = runs ? this.interrupt() : undefined;
      this.#standing(true);
      const result = send();
      this.resume();
      return Promise.all([stopped, result]);
    });
    return result;
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
    const answer = this.#command('D');
    this.#goesOnAfter = this.#answers.at(-1);
    await answer;
    this.#left = true;
    await this.#close();
  }

  /** Whether it was left, and answered. */
  get left(): boolean {
    return this.#left;
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

  async #describe(known?: RegisterLayout): Promise<RegisterLayout> {
    const layout = await describeRegisters(
      {
        ask: (command) => this.#command(command),
        whileItStands: (act) => this.#whileItStands(act),
      },
      known,
    );
    return (this.#places = layout);
  }

  async #whileItStands<T>(act: () => Promise<T>): Promise<T> {
    while (this.#goesOnAfter !== undefined && this.#failure === undefined) await nextTurn();
    const runs = this.#stoppedAt === undefined;
    await this.stand();
    const result = await act();
    if (runs) this.resume();
    return result;
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
    const now = performance.now();
    let payloads: string[];
    try {
      payloads = this.#reader.push(bytes);
    } catch (error) {
      this.#fail(new DebloatError('What listens there is no gdb stub.', { cause: error }));
      this.#socket.destroy();
      return;
    }
    for (const payload of payloads) {
      const stop = stopOf(payload);
      if (stop && !this.#hasAnswered) continue;
      if (stop) {
        this.#standing(true, now);
        this.#stops.push(stop);
        const waiter = this.#stop;
        this.#stop = undefined;
        waiter?.resolve(payload);
        continue;
      }
      this.#hasAnswered = true;
      const waiter = this.#answers.shift();
      if (waiter !== undefined && waiter === this.#goesOnAfter) {
        this.#goesOnAfter = undefined;
        this.#standing(false, now);
      }
      waiter?.resolve(payload);
    }
  }

  #standing(stands: boolean, now = performance.now()): void {
    if (stands) {
      this.#stoppedAt ??= now;
    } else if (this.#stoppedAt !== undefined) {
      this.held += now - this.#stoppedAt;
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

function noAnswer(address: StubAddress, cause: Error): DebloatError {
  return new DebloatError(`The gdb stub at ${nameOf(address)} does not answer.`, {
    hint: cause.message,
    cause,
  });
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
