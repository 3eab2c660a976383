import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { MmioOptions } from '../../attacher/virtio/mmio/worker-protocol.js';
import type { MmioServer } from '../../attacher/virtio/mmio/mmio-server.js';
import { createMemoryFile } from '../../native/linux/memory-file.js';
import { MmioDriver } from './mmio-driver.js';
import { TestMemory } from './virtio-driver.js';

type Built = typeof import('../../attacher/virtio/mmio/mmio-server.js');

/** The server as it was built: its worker is found beside it. */
export async function builtServer(): Promise<typeof MmioServer> {
  const path = '../../dist/attacher/virtio/mmio/mmio-server.js';
  const built = (await import(path)) as Built;
  return built.MmioServer;
}

export const guestDirectory = mkdtempSync(join(tmpdir(), 'debloat-mmio-'));
const program = join(guestDirectory, 'guest');

/** Compile the guest; to be called once. Returns how to remove it. */
export function compileGuest(): () => void {
  const source = fileURLToPath(new URL('../fixtures/mmio-guest.c', import.meta.url));
  execFileSync('gcc', ['-O2', '-Wall', '-o', program, source]);
  return () => rmSync(guestDirectory, { recursive: true });
}

/** An image as the guest expects it: every 8 bytes are their own position. */
export function positionImage(name: string, bytes: number): string {
  const words = BigUint64Array.from({ length: bytes / 8 }, (_, n) => BigInt(n * 8));
  const path = join(guestDirectory, name);
  writeFileSync(path, new Uint8Array(words.buffer));
  return path;
}

export interface GuestWork {
  depth: number;
  seconds: number;
  /** Of the disk, in blocks of `blockBytes`. */
  blocks: number;
  blockBytes: number;
  /** Of a hundred requests. */
  writes: number;
  shared: boolean;
}

export interface GuestResult {
  operations: number;
  seconds: number;
  interrupts: number;
  notifications: number;
}

/** A guest in a process of its own (test/fixtures/mmio-guest.c), and what serving it takes. */
export class GuestProcess {
  readonly driver = new MmioDriver(new TestMemory(4096));
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #shared: number | undefined;
  #options: Omit<MmioOptions, 'disk' | 'takeOver'> | undefined;

  constructor(work: GuestWork) {
    const { depth, seconds, blocks, blockBytes, writes } = work;
    const { fd, notify, status, interrupt } = this.driver;
    const length = 64 * 4096 + depth * blockBytes;
    this.#shared = work.shared ? createMemoryFile('guest', length) : undefined;
    this.child = spawn(program, [depth, seconds, blocks, blockBytes, writes].map(String), {
      stdio: [
        'pipe',
        'pipe',
        'inherit',
        fd,
        notify,
        status,
        interrupt,
        ...(this.#shared === undefined ? [] : [this.#shared]),
      ],
    });
    const { stdout } = this.child;
    if (stdout === null) throw new Error('no output');
    this.#lines = createInterface(stdout)[Symbol.asyncIterator]();
  }

  /** What a server needs to know, when the guest is there. */
  async options(): Promise<Omit<MmioOptions, 'disk' | 'takeOver'>> {
    if (this.#options) return this.#options;
    const [address, size] = (await this.#line('memory')).map(Number);
    const { place, notify, status, interrupt } = this.driver;
    const region = { guestAddress: 0x4000_0000, size: size ?? 0, userAddress: address ?? 0 };
    this.#options = {
      window: place,
      doorbells: { notify, status },
      interrupt,
      memory: {
        pid: this.child.pid ?? -1,
        regions: [this.#shared === undefined ? region : { ...region, fd: this.#shared, offset: 0 }],
      },
      id: 'guest',
    };
    return this.#options;
  }

  /** Let it run; its result. Rejects if it found anything wrong. */
  async run(): Promise<GuestResult> {
    this.child.stdin?.end('go\n');
    const [operations, nanoseconds, interrupts, notifications] = (await this.#line('done')).map(
      Number,
    );
    return {
      operations: operations ?? 0,
      seconds: (nanoseconds ?? 0) / 1e9,
      interrupts: interrupts ?? 0,
      notifications: notifications ?? 0,
    };
  }

  /** When the guest has removed the device and seen that its memory is left alone. */
  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await once(this.child, 'exit');
    }
    return this.child.exitCode;
  }

  close(): void {
    this.child.kill('SIGKILL');
    this.driver.close();
  }

  async #line(word: string): Promise<string[]> {
    const next = await this.#lines.next();
    const line = next.done === true ? 'nothing' : next.value;
    const [first, ...rest] = line.split(' ');
    if (first !== word) throw new Error(`the guest said: ${line}`);
    return rest;
  }
}
