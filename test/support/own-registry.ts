import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hexOf } from '../../analyzer/image/digest.js';
import type { Digest } from '../../analyzer/image/types.js';
import type { LayoutWriter } from './oci-layout.js';

/** A registry of our own on a free loopback port. */
export class Registry {
  private constructor(
    readonly address: string,
    readonly storage: string,
    readonly process: ChildProcess,
  ) {}

  static async start(storage: string, more = ''): Promise<Registry> {
    mkdirSync(storage, { recursive: true });
    const port = await freePort();
    const config = join(storage, 'config.yml');
    writeFileSync(
      config,
      `version: 0.1\nlog: { level: error }\nstorage: { filesystem: { rootdirectory: ${storage} } }\n` +
        `http: { addr: '127.0.0.1:${port}' }\n${more}\n`,
    );
    const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
    const registry = new Registry(`localhost:${port}`, storage, child);
    for (let attempt = 0; ; attempt++) {
      const answer = await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined);
      if (answer) return registry;
      if (attempt > 100) throw new Error('docker-registry does not start');
      await sleep(100);
    }
  }

  /** Copy a layout's images here, all platforms, as they are. */
  push(layout: LayoutWriter, name: string, credentials?: string): void {
    const flags = ['--all', '--preserve-digests', '--dest-tls-verify=false'];
    if (credentials) flags.push(`--dest-creds=${credentials}`);
    const from = `oci:${layout.dir}:${name.split(':')[1] ?? ''}`;
    execFileSync('skopeo', [
      '--insecure-policy',
      'copy',
      '-q',
      ...flags,
      from,
      `docker://${this.address}/${name}`,
    ]);
  }

  /** Where the registry keeps a blob. */
  blob(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.storage, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.process.on('close', resolve));
    this.process.kill();
    await ended;
  }
}

/** A loopback port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
