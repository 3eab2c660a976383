import { request } from 'node:http';
import { z } from 'zod';
import { DebloatError, messageOf } from '../../analyzer/errors.js';

/** How long an answer may take, in milliseconds. */
const usualPatience = 20_000;
/** Bytes that an answer may have. */
const mostBytes = 4 * 2 ** 20;

/** What we need of VmInfo (vmm/src/api/openapi/cloud-hypervisor.yaml). */
const vmInfo = z.object({
  state: z.string(),
  config: z.object({
    memory: z
      .object({
        size: z.number().nullish(),
        shared: z.boolean().nullish(),
        zones: z.array(z.object({ shared: z.boolean().nullish() })).nullish(),
      })
      .nullish(),
    disks: z.array(z.object({ id: z.string().nullish() })).nullish(),
  }),
  /** All devices by their ids, until the guest has let go of them. */
  device_tree: z.record(z.string(), z.unknown()).nullish(),
});
export type VmInfo = z.infer<typeof vmInfo>;

/** What we set of DiskConfig. */
export type DiskConfig = { id: string; readonly: true } & (
  | { path: string; serial: string }
  | { vhost_user: true; vhost_socket: string; num_queues: number; queue_size: number }
);

/** An answer that is a refusal. */
export class ApiError extends DebloatError {
  constructor(
    readonly call: string,
    readonly status: number,
    readonly reason: string,
  ) {
    super(`Cloud Hypervisor refused ${call}: ${reason}`);
  }
}

/** Nobody answered, or not in time: whether the call was carried out is not known. */
export class NoAnswer extends DebloatError {}

/** A client of Cloud Hypervisor's API (its docs/api.md), which is HTTP at a Unix socket. */
export class CloudHypervisorApi {
  constructor(
    readonly socket: string,
    readonly patience = usualPatience,
  ) {}

  /** Whether it is there: throws DebloatError if not. */
  async ping(): Promise<void> {
    await this.#call('GET', 'vmm.ping');
  }

  /** The machine, or undefined where none was created. */
  async info(): Promise<VmInfo | undefined> {
    let body: string;
    try {
      body = await this.#call('GET', 'vm.info');
    } catch (error) {
      if (isNotCreated(error)) return undefined;
      throw error;
    }
    const parsed = vmInfo.safeParse(parse(body));
    if (parsed.success) return parsed.data;
    throw new DebloatError(
      'Cloud Hypervisor’s API tells of its machine what we do not understand.',
    );
  }

  async addDisk(disk: DiskConfig): Promise<void> {
    await this.#call('PUT', 'vm.add-disk', disk);
  }

  /** Asks the guest to let go of a device; `info` tells when it has. */
  async removeDevice(id: string): Promise<void> {
    await this.#call('PUT', 'vm.remove-device', { id });
  }

  async #call(method: 'GET' | 'PUT', call: string, parameters?: object): Promise<string> {
    const text = parameters && JSON.stringify(parameters);
    const { status, body } = await this.#exchange(method, call, text);
    if (status >= 200 && status < 300) return body;
    throw new ApiError(call, status, reasonIn(body) || `status ${status}`);
  }

  #exchange(
    method: string,
    call: string,
    text: string | undefined,
  ): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const patience = AbortSignal.timeout(this.patience);
      const fail = (error: unknown) =>
        reject(
          new NoAnswer(`Cloud Hypervisor’s API at ${this.socket} does not answer (${call}).`, {
            hint: patience.aborted ? `not within ${this.patience / 1000} s` : messageOf(error),
            cause: error,
          }),
        );
      const headers = {
        Accept: 'application/json',
        ...(text === undefined
          ? {}
          : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
      };
      try {
        const sent = request(
          {
            ...{ socketPath: this.socket, method, path: `/api/v1/${call}`, headers },
            ...{ agent: false, signal: patience },
          },
          (response) => {
            const chunks: Buffer[] = [];
            let size = 0;
            response.on('error', fail).on('data', (chunk: Buffer) => {
              size += chunk.length;
              chunks.push(chunk);
              if (size > mostBytes) response.destroy(new Error('it says too much'));
            });
            response.on('end', () =>
              resolve({
                status: response.statusCode ?? 0,
                body: Buffer.concat(chunks).toString('utf8'),
              }),
            );
          },
        );
        sent.on('error', fail).end(text);
      } catch (error) {
        fail(error); // a path that is too long for a socket
      }
    });
  }
}

/** 404, or as older versions say it: 500 with these words. */
function isNotCreated(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.status === 404 || /VmNotCreated|not created/i.test(error.reason);
}

/** An error is a list of sentences, from the outermost to its cause; of older versions a text. */
function reasonIn(body: string): string {
  const list = z.array(z.string()).safeParse(parse(body));
  const text = list.success ? list.data.join(': ') : body;
  return text.replace(/\s+/g, ' ').trim().slice(0, 500);
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
