import { connect, createServer, type Server, type Socket } from 'node:net';

/** Where a session is to be killed: at packet number `packet` (from 0) of all that it sends to the stub. */
export interface KillAt {
  readonly packet: number;
  /** Before the stub sees it, when it has seen it, or when it has answered and the session has not heard. */
  readonly when: 'before' | 'sent' | 'answered';
}

/**
 * A way to a gdb stub on which all is passed on, and the packets are counted of whoever is to be killed
 * at one of them.
 */
export class StubProxy {
  /** Packets since `watch`, without their checksums. */
  packets: string[] = [];
  #at: KillAt | undefined;
  #kill: () => void = () => undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(readonly stub: string) {
    this.#server = createServer((client) => this.#serve(client));
  }

  static async listen(path: string, stub: string): Promise<StubProxy> {
    const proxy = new StubProxy(stub);
    await new Promise<void>((resolve) => proxy.#server.listen(path, resolve));
    return proxy;
  }

  /** From now on count, and call `kill` at a packet; without one only count. */
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
    this.#server.close();
  }

  #serve(client: Socket): void {
    const stub = connect(this.stub);
    let pending = Buffer.alloc(0);
    let mute = false;
    for (const [socket, other] of [
      [client, stub],
      [stub, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.end();
      });
    }
    client.on('data', (bytes) => {
      pending = Buffer.concat([pending, bytes]);
      for (let piece = take(pending); piece && !mute; piece = take(pending)) {
        pending = pending.subarray(piece.length);
        const at = this.#count(piece);
        mute = at !== undefined;
        if (at?.when !== 'before') stub.write(piece);
        if (at?.when === 'before' || at?.when === 'sent') this.#kill();
      }
    });
    stub.on('data', (bytes: Buffer) => {
      if (!mute) client.write(bytes);
      // An acknowledgement alone is no answer.
      else if (this.#at?.when === 'answered' && bytes.includes('$')) this.#kill();
    });
  }

  /** What is to be done at this packet, if anything. */
  #count(piece: Buffer): KillAt | undefined {
    const text = piece.toString('latin1');
    if (!text.startsWith('$') && text !== '\x03') return undefined;
    this.packets.push(text.replace(/^\$|#..$/g, ''));
    return this.#at?.packet === this.packets.length - 1 ? this.#at : undefined;
  }
}

/** The first packet, acknowledgement or interrupt in `bytes`; undefined while it is not whole. */
function take(bytes: Buffer): Buffer | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] !== 0x24) return bytes.subarray(0, 1);
  const end = bytes.indexOf('#');
  return end < 0 || bytes.length < end + 3 ? undefined : bytes.subarray(0, end + 3);
}
