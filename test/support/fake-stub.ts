import { createServer, type Server, type Socket } from 'node:net';
import { encodePacket } from '../../attacher/gdb/packet.js';
import { neededRegisters } from '../../attacher/gdb/register-layout.js';

/**
 * A gdb stub that takes bytes as QEMU's does (gdb_read_byte in gdbstub/gdbstub.c, version 10): while the
 * machine runs any byte stops it, and only 0x03 gets an answer. Its only processor has `neededRegisters`.
 */
export class FakeStub {
  /** Packets and interrupts that came. */
  commands: string[] = [];
  /** Bytes that stopped the machine without being an interrupt. */
  strays = 0;
  running = true;
  registers = new Map<string, bigint>();
  /** The address of a breakpoint at which the machine stops soon after it goes on. */
  hits: string | undefined;
  /** What registers are there. */
  readonly atHit = new Map<string, bigint>();
  readonly #breakpoints = new Set<string>();
  #unacknowledged = false;
  #packet = '';
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(
    readonly file: string,
    greets: boolean,
  ) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      this.running = false;
      this.#unacknowledged = false;
      this.#packet = '';
      if (greets) this.#say(socket, 'T02thread:01;');
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        for (const character of bytes.toString('latin1')) this.#receive(socket, character);
      });
    });
  }

  /** `file` is the one in which registers are described; `greets`: it tells of the stop when someone comes, as before version 8.1. */
  static async listen(
    path: string,
    { file = 'i386-64bit.xml', greets = false } = {},
  ): Promise<FakeStub> {
    const stub = new FakeStub(file, greets);
    await new Promise<void>((resolve) => stub.#server.listen(path, resolve));
    return stub;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #say(socket: Socket, payload: string): void {
    this.#unacknowledged = true;
    socket.write(encodePacket(payload));
  }

  #receive(socket: Socket, character: string): void {
    if (this.#unacknowledged && this.#packet === '') {
      if (character === '+' || character === '$') this.#unacknowledged = false;
      if (character !== '$') return;
    }
    if (this.running) {
      this.running = false;
      if (character === '\x03') {
        this.commands.push('interrupt');
        this.#say(socket, 'T02thread:01;');
      } else this.strays++;
      return;
    }
    if (this.#packet === '' && character !== '$') return;
    this.#packet += character;
    const [, payload] = /^\$([^#]*)#..$/.exec(this.#packet) ?? [];
    if (payload === undefined) return;
    this.#packet = '';
    socket.write('+');
    this.commands.push(payload);
    this.#obey(socket, payload);
  }

  #obey(socket: Socket, payload: string): void {
    const [, place = '', at = '0', length = '0'] =
      /^qXfer:features:read:([^:]*):([^,]*),(.*)$/.exec(payload) ?? [];
    if (place !== '') {
      const text =
        place === 'target.xml'
          ? `<target><xi:include href="${this.file}"/></target>`
          : place === this.file
            ? neededRegisters.map((name) => `<reg name="${name}" bitsize="64"/>`).join('')
            : '';
      const [from, count] = [parseInt(at, 16), parseInt(length, 16)];
      const piece = text.slice(from, from + count);
      const isLast = from + count >= text.length;
      this.#say(socket, piece === '' ? 'E00' : `${isLast ? 'l' : 'm'}${piece}`);
    } else if (payload === 'g') {
      const values = neededRegisters.map((name) => this.registers.get(name) ?? 0n);
      const bytes = Buffer.alloc(8 * values.length);
      values.forEach((value, n) => bytes.writeBigUInt64LE(value, 8 * n));
      this.#say(socket, bytes.toString('hex'));
    } else if (payload.startsWith('P')) {
      const [number = '', value = ''] = payload.slice(1).split('=');
      const name = neededRegisters[parseInt(number, 16)] ?? '';
      this.registers.set(name, Buffer.from(value, 'hex').readBigUInt64LE());
      this.#say(socket, 'OK');
    } else if (payload === 'vCont;c') {
      this.running = true;
      if (this.hits !== undefined && this.#breakpoints.has(this.hits)) {
        setTimeout(() => {
          this.running = false;
          for (const [name, value] of this.atHit) this.registers.set(name, value);
          this.#say(socket, 'T05thread:01;');
        }, 5);
      }
    } else if (payload === 'D') {
      this.running = true;
      this.#say(socket, 'OK');
    } else {
      if (payload.startsWith('Z')) this.#breakpoints.add(payload.split(',')[1] ?? '');
      if (payload.startsWith('z')) this.#breakpoints.delete(payload.split(',')[1] ?? '');
      const other = { qfThreadInfo: 'm01', qsThreadInfo: 'l' }[payload];
      this.#say(socket, other ?? 'OK');
    }
  }
}
