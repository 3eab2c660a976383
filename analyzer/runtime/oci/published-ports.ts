import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { DebloatError, messageOf } from '../../errors.js';
import { parsePublish } from '../publish-option.js';

/** Listeners on this machine that pass connections on to a container; TCP only. */
export class PublishedPorts {
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  /** Listen as `specs` (of --publish) say and pass on to `address`. Rejects with a DebloatError. */
  static async open(specs: readonly string[], address: string): Promise<PublishedPorts> {
    const ports = new PublishedPorts();
    try {
      for (const spec of specs) await ports.#listen(spec, address);
      return ports;
    } catch (error) {
      ports.close();
      throw error;
    }
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #listen(spec: string, address: string): Promise<void> {
    const { ip, hostPort = 0, containerPort, protocol } = parsePublish(spec);
    if (protocol === 'udp') {
      throw new DebloatError(`--publish ${spec}: UDP is not published without an engine`, {
        hint: 'use a container engine, or --network host',
      });
    }
    const server = createServer((client) => this.#passOn(client, address, containerPort));
    this.#servers.push(server);
    server.listen(hostPort, ip);
    try {
      await once(server, 'listening');
    } catch (error) {
      const inUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      throw new DebloatError(
        inUse
          ? `port ${hostPort} of --publish is already in use`
          : `cannot publish ${spec}: ${messageOf(error)}`,
        { hint: 'stop what listens there, or publish another port', cause: error },
      );
    }
    server.unref();
  }

  #passOn(client: Socket, address: string, port: number): void {
    const workload = connect(port, address);
    for (const [from, to] of [
      [client, workload],
      [workload, client],
    ] as const) {
      this.#sockets.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroySoon();
      });
    }
  }
}
