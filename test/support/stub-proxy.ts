import { connect, createServer, type Server, type Socket } from 'node:net';

/**
 * Where a session is to be killed: at message number `nth` (from 0) of those of this kind. One session
 * may have to look at more processors than another, so that its messages have other numbers among all.
 */
export interface KillAt {
  readonly kind: string;
  readonly nth: number;
  /** Before the other side sees it, when it has seen it, or when it has answered and the session has not heard. */
  readonly when: 'before' | 'sent' | 'answered';
}

/** What kind of message this is: all of it but what it has to say. */
export function kindOf(message: string): string {
  return message.split(/[,;:=]/, 1)[0] ?? '';
}

/** How many of `messages` are of this kind. */
export function countOf(messages: readonly string[], kind: string): number {
  return messages.filter((each) => kindOf(each) === kind).length;
}

/** How bytes are cut into messages, and what of them counts. */
interface Protocol {
  /** The first message in `bytes`; undefined while it is not whole. */
  first(bytes: Buffer): Buffer | undefined;
  /** What it says, if it counts. */
  text(message: Buffer): string | undefined;
  isAnswer(bytes: Buffer): boolean;
  /** What is sent in its place. */
  instead(message: Buffer): Buffer;
}

/**
 * Ways to a hypervisor on which all is passed on, and the messages are counted of whoever is to be
 * killed at one of them.
 */
export class KillingProxy {
  /** Messages since `watch`: packets without their checksums, commands of the monitor. */
  packets: string[] = [];
  #at: KillAt | undefined;
  #kill: () => void = () => undefined;
  readonly #servers = new Map<string, Server>();
  readonly #sockets = new Set<Socket>();

  /** From now on count, and call `kill` at a message; without one only count. */
  watch(at?: KillAt, kill: () => void = () => undefined): void {
    this.packets = [];
    this.#at = at;
    this.#kill = kill;
  }

  /** Count and kill no longer. */
  pass(): void {
    this.#at = undefined;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers.values()) server.close();
  }

  /** The socket is there at once. */
  protected open(path: string, target: string, protocol: Protocol): void {
    const server = createServer((client) => this.#serve(client, target, protocol));
    this.#servers.set(path, server);
    server.listen(path);
  }

  protected shut(path: string): void {
    this.#servers.get(path)?.close();
    this.#servers.delete(path);
  }

  #serve(client: Socket, target: string, protocol: Protocol): void {
    const other = connect(target);
    let pending = Buffer.alloc(0);
    let mute = false;
    for (const [socket, peer] of [
      [client, other],
      [other, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        peer.end();
      });
    }
    client.on('data', (bytes) => {
      pending = Buffer.concat([pending, bytes]);
      for (let piece = protocol.first(pending); piece && !mute; piece = protocol.first(pending)) {
        pending = pending.subarray(piece.length);
        const at = this.#count(protocol.text(piece));
        mute = at !== undefined;
        if (at?.when !== 'before') other.write(protocol.instead(piece));
        if (at?.when === 'before' || at?.when === 'sent') this.#kill();
      }
    });
    other.on('data', (bytes: Buffer) => {
      if (!mute) client.write(bytes);
      else if (this.#at?.when === 'answered' && protocol.isAnswer(bytes)) this.#kill();
    });
  }

  /** What is to be done at this message, if anything. */
  #count(text: string | undefined): KillAt | undefined {
    if (text === undefined) return undefined;
    const kind = kindOf(text);
    const nth = countOf(this.packets, kind);
    this.packets.push(text);
    return this.#at?.kind === kind && this.#at.nth === nth ? this.#at : undefined;
  }
}

/** gdb's packets, acknowledgements and interrupts. */
const gdb: Protocol = {
  first(bytes) {
    if (bytes.length === 0) return undefined;
    if (bytes[0] !== 0x24) return bytes.subarray(0, 1);
    const end = bytes.indexOf('#');
    return end < 0 || bytes.length < end + 3 ? undefined : bytes.subarray(0, end + 3);
  },
  text(message) {
    const text = message.toString('latin1');
    return text.startsWith('$') || text === '\x03' ? text.replace(/^\$|#..$/g, '') : undefined;
  },
  // An acknowledgement alone is none.
  isAnswer: (bytes) => bytes.includes('$'),
  instead: (message) => message,
};

/** A way to a gdb stub. */
export class StubProxy extends KillingProxy {
  constructor(path: string, stub: string) {
    super();
    this.open(path, stub, gdb);
  }
}

/** A way to QEMU's machine protocol, and to each gdb stub that is opened by it; of its commands some count, by default those about stubs. */
export class MonitorProxy extends KillingProxy {
  #stub = '';

  constructor(path: string, monitor: string, counted = /gdbserver [^",]+/) {
    super();
    this.open(path, monitor, {
      first(bytes) {
        const end = bytes.indexOf('\n');
        return end < 0 ? undefined : bytes.subarray(0, end + 1);
      },
      text: (line) => counted.exec(line.toString())?.[0],
      isAnswer: (bytes) => /"(return|error)":/.test(bytes.toString()),
      instead: (line) => this.#instead(line.toString()),
    });
  }

  /** The stub that is asked for is opened beside, and we are where it was asked for. */
  #instead(line: string): Buffer {
    const [, path] = /gdbserver unix:([^,]+)/.exec(line) ?? [];
    if (path !== undefined) {
      this.#stub = path;
      this.open(path, `${path}.real`, gdb);
    } else if (line.includes('gdbserver none')) {
      this.shut(this.#stub);
    }
    return Buffer.from(path === undefined ? line : line.replace(path, `${path}.real`));
  }
}
