import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';

/** How a machine is, and how its API behaves. */
export interface FakeMachine {
  /** VmState; none: no machine was created. */
  state?: 'Running' | 'Paused';
  memory?: object;
  /** Answers instead of the usual ones, by the call's name. */
  refuses?: Record<string, { status: number; body: string }>;
  /** Calls that are never answered. */
  hangs?: string[];
  /** Whether the guest keeps what it is asked to let go of. */
  keeps?: boolean;
}

interface Disk {
  id: string;
  path?: string;
  readonly?: boolean;
  vhost_user?: boolean;
  vhost_socket?: string;
}

/**
 * A server at a Unix socket that behaves as Cloud Hypervisor's API is documented (its docs/api.md,
 * vmm/src/api): JSON errors, disks that are connected to when they are added, and a guest that lets
 * go of a device a moment after it was asked to. Each call is an event, by its name.
 */
export class FakeCloudHypervisor extends EventEmitter {
  /** "PUT vm.add-disk {…}" */
  readonly calls: string[] = [];
  readonly disks: Disk[] = [];
  /** Features that the servers of disks offered (vhost-user: GET_FEATURES). */
  readonly offered: bigint[] = [];
  readonly #server: Server;
  #ejecting = new Map<string, number>();

  private constructor(readonly machine: FakeMachine) {
    super();
    this.#server = createServer((request, response) => {
      void this.#answer(request).then((answer) => {
        if (answer === undefined) return;
        response.writeHead(answer.status, { 'Content-Type': 'application/json' });
        response.end(answer.body);
      });
    });
  }

  static async start(path: string, machine: FakeMachine = {}): Promise<FakeCloudHypervisor> {
    const fake = new FakeCloudHypervisor({ state: 'Running', ...machine });
    fake.#server.listen(path);
    await once(fake.#server, 'listening');
    return fake;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(
    request: IncomingMessage,
  ): Promise<{ status: number; body?: string | undefined } | undefined> {
    const body = await text(request);
    const name = (request.url ?? '').replace(/^\/api\/v1\//, '');
    this.calls.push(`${request.method ?? ''} ${name} ${body}`.trim());
    this.emit(name);
    if (this.machine.hangs?.includes(name)) return undefined;
    const refusal = this.machine.refuses?.[name];
    if (refusal) return refusal;
    const { state } = this.machine;
    if (name === 'vmm.ping') return ok({ version: 'v48.0', pid: process.pid });
    if (state === undefined) return failed(404, 'Error from API', 'The VM is not created');
    if (name === 'vm.info') return ok(this.#info(state));
    if (name === 'vm.add-disk') return this.#add(JSON.parse(body) as Disk);
    if (name === 'vm.remove-device') return this.#remove((JSON.parse(body) as Disk).id);
    return failed(404, 'Not Found');
  }

  #info(state: string) {
    for (const [id, looks] of this.#ejecting) {
      this.#ejecting.set(id, looks - 1);
      if (looks > 0 || this.machine.keeps) continue;
      this.#ejecting.delete(id);
      const at = this.disks.findIndex((disk) => disk.id === id);
      if (at >= 0) this.disks.splice(at, 1);
    }
    const memory = { size: 2 ** 29, shared: false, hugepages: false, zones: null };
    const nodes = this.disks.flatMap(({ id }) => [
      [`_virtio-pci-${id}`, { id: `_virtio-pci-${id}`, children: [id], pci_bdf: '0000:00:05.0' }],
      [id, { id, children: [], pci_bdf: null }],
    ]);
    return {
      config: { memory: { ...memory, ...this.machine.memory }, disks: this.disks },
      ...{
        state,
        memory_actual_size: memory.size,
        device_tree: Object.fromEntries(nodes) as object,
      },
    };
  }

  async #add(disk: Disk) {
    if (this.disks.some(({ id }) => id === disk.id)) {
      return failed(500, 'Error from API', 'Identifier already exists');
    }
    if (disk.vhost_user) this.offered.push(await featuresOf(disk.vhost_socket ?? ''));
    this.disks.push(disk);
    return ok({ id: disk.id, bdf: '0000:00:05.0' });
  }

  #remove(id: string) {
    if (!this.disks.some((disk) => disk.id === id)) {
      return failed(500, 'Error from API', `Failed to find device: ${id}`);
    }
    this.#ejecting.set(id, 2);
    return { status: 204 };
  }
}

const ok = (value: object) => ({ status: 200, body: JSON.stringify(value) });
const failed = (status: number, ...messages: string[]) => ({
  status,
  body: JSON.stringify(messages),
});

/** What a vhost-user server offers, asked by a client that goes at once. */
async function featuresOf(path: string): Promise<bigint> {
  const socket = connect(path);
  try {
    const getFeatures = new Uint8Array(new Uint32Array([1, 1, 0]).buffer);
    socket.write(getFeatures);
    const [reply] = (await once(socket, 'data')) as [Buffer];
    return reply.readBigUInt64LE(12);
  } finally {
    socket.destroy();
  }
}
