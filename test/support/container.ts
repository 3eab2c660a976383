import { execa } from 'execa';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { setupScript } from './services.js';

/** Run the docker command line; its stdout, trimmed. */
export async function docker(...args: string[]): Promise<string> {
  return (await execa('docker', args, { stdin: 'ignore' })).stdout.trim();
}

/** A container of a test, untraced, as a user would start it. Use with `await using`. */
export class TestContainer implements AsyncDisposable {
  private constructor(
    readonly id: string,
    readonly address: string,
  ) {}

  /** `docker run` of `image`; `flags` go before it. */
  static async start(image: string, flags: string[] = []): Promise<TestContainer> {
    const id = await docker('run', '--detach', ...flags, image);
    const address = await docker(
      'inspect',
      '--format',
      '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}',
      id,
    );
    return new TestContainer(id, address);
  }

  /** stdout of `command` in the container, tried again until it succeeds (at most 30 s). */
  async exec(command: string[]): Promise<string> {
    return this.#eventually(() => docker('exec', this.id, ...command));
  }

  /** Body of `path`, tried again until something answers (at most 30 s); `fetch` checks no status. */
  async get(port: number, path: string): Promise<{ status: number; body: string }> {
    return this.#eventually(async () => {
      const answer = await fetch(`http://${this.address}:${port}${path}`, {
        signal: AbortSignal.timeout(5000),
      });
      return { status: answer.status, body: await answer.text() };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await docker('rm', '--force', '--volumes', this.id);
  }

  async #eventually<T>(attempt: () => Promise<T>): Promise<T> {
    const end = Date.now() + 30_000;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        const running = await docker('inspect', '--format', '{{.State.Running}}', this.id);
        if (Date.now() > end || running !== 'true') {
          const { stdout, stderr } = await execa('docker', ['logs', '--tail', '20', this.id]);
          throw new Error(`the container does not do it: ${stdout}\n${stderr}`, { cause: error });
        }
        await sleep(200);
      }
    }
  }
}

/** What the image in an OCI layout answers on `path` when it is run by runc, with no engine. */
export async function serveByRunc(layout: string, path: string): Promise<string> {
  return (await execa(setupScript('serve'), [layout, path], { stdin: 'ignore' })).stdout;
}

/** The status of / at this address, over a connection of its own; else why there is none. */
export function httpStatus(address: string): Promise<number | string> {
  return new Promise((resolve) => {
    get({ host: address, path: '/', agent: false }, (answer) => {
      answer.resume().on('end', () => {
        resolve(answer.statusCode ?? 0);
      });
    }).on('error', (error) => {
      resolve(error.message);
    });
  });
}
