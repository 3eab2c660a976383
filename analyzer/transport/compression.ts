import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { open } from 'node:fs/promises';
import { Duplex } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DebloatError } from '../errors.js';

/** How a layer or archive is stored; all that container engines read. */
export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2';

// Docker goes by these bytes as well, and not by the media type, which is wrong at times.
const magics: readonly (readonly [Compression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
];

/** What `file` is compressed with, by its first bytes. */
export async function compressionOf(file: string): Promise<Compression> {
  const handle = await open(file, 'r');
  try {
    const start = Buffer.alloc(6);
    await handle.read(start, 0, start.length, 0);
    return magics.find(([, magic]) => magic.every((byte, i) => start[i] === byte))?.[0] ?? 'none';
  } finally {
    await handle.close();
  }
}

/**
 * Bytes that a decompressed file takes, at least: gzip tells it (modulo 4 GiB) in its last 4 bytes.
 * @param stored bytes of the file.
 */
export async function uncompressedEstimate(file: string, stored: number): Promise<number> {
  if (stored < 18 || (await compressionOf(file)) !== 'gzip') return stored;
  const handle = await open(file, 'r');
  try {
    const tail = Buffer.alloc(4);
    await handle.read(tail, 0, 4, stored - 4);
    return Math.max(stored, tail.readUInt32LE());
  } finally {
    await handle.close();
  }
}

/**
 * A stream that decompresses what is written to it; it fails if that is damaged. Several compressed
 * members in a row are read as one.
 * @param tolerant let gzip(1) ignore what follows the last member, as it does with a warning; slower.
 */
export function decompressor(
  compression: Exclude<Compression, 'none'>,
  options: { tolerant?: boolean } = {},
): Duplex {
  if (compression !== 'gzip') return new ProcessFilter(compression, [0]);
  if (options.tolerant) return new ProcessFilter('gzip', [0, 2]);
  return createGunzip({ chunkSize: 256 * 1024 });
}

/** A stream through `PROGRAM -dc`. */
class ProcessFilter extends Duplex {
  readonly #child: ChildProcessWithoutNullStreams;

  constructor(program: string, goodCodes: readonly number[]) {
    super();
    const child = spawn(program, ['-dc'], { stdio: 'pipe' });
    this.#child = child;
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(0, 2000);
    });
    child.stdout.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) child.stdout.pause();
    });
    child.stdin.on('error', () => undefined); // that it ended early, its exit code explains
    child.on('error', (error: NodeJS.ErrnoException) => {
      this.destroy(error.code === 'ENOENT' ? missing(program) : error);
    });
    child.on('close', (code) => {
      if (code !== null && goodCodes.includes(code)) this.push(null);
      else this.destroy(new Error(complaint.trim().split('\n')[0] || `${program} failed`));
    });
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#child.stdin.write(chunk, () => done());
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.kill('SIGKILL');
    done(error);
  }
}

function missing(program: string): DebloatError {
  const name = { zstd: 'zstd', xz: 'xz-utils', bzip2: 'bzip2' }[program] ?? program;
  return new DebloatError(`the image is compressed with ${program}, which is not installed`, {
    hint: `install it: apt install ${name}`,
  });
}
