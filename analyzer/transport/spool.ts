import { createReadStream, createWriteStream } from 'node:fs';
import { Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Digester } from '../image/digest.js';
import type { Digest } from '../image/types.js';
import { decompressor, type Compression } from './compression.js';

const chunkSize = 256 * 1024;

export interface Spooled {
  /** Of the bytes read. */
  storedDigest: Digest;
  /** Of the bytes written. */
  digest: Digest;
  /** Bytes written. */
  size: number;
}

export interface SpoolOptions {
  /** Told of every piece read, bytes. */
  advance?: (bytes: number) => void;
  signal?: AbortSignal | undefined;
}

/**
 * Decompress `file` into the file `to`, both digests computed on the way. Rejects with what the
 * decompressor or the file system says.
 */
export async function spool(
  file: string,
  compression: Compression,
  to: string,
  options: SpoolOptions & { tolerant?: boolean } = {},
): Promise<Spooled> {
  const stored = new Digester();
  const written = new Digester();
  await pipeline(
    [
      createReadStream(file, { highWaterMark: chunkSize }),
      through((chunk) => {
        stored.update(chunk);
        options.advance?.(chunk.length);
      }),
      ...(compression === 'none' ? [] : [decompressor(compression, options)]),
      through((chunk) => {
        // Without compression the bytes are the same ones: hashing them once will do.
        if (compression === 'none') written.size += chunk.length;
        else written.update(chunk);
      }),
      createWriteStream(to, { highWaterMark: 4 * chunkSize }),
    ],
    options.signal ? { signal: options.signal } : {},
  );
  const storedDigest = stored.digest();
  const digest = compression === 'none' ? storedDigest : written.digest();
  return { storedDigest, digest, size: written.size };
}

/** The digest of a whole file. */
export async function digestOfFile(file: string, options: SpoolOptions = {}): Promise<Digest> {
  const digester = new Digester();
  const stream = createReadStream(file, { highWaterMark: chunkSize, signal: options.signal });
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    digester.update(chunk);
    options.advance?.(chunk.length);
  }
  return digester.digest();
}

function through(see: (chunk: Buffer) => void): Transform {
  return new Transform({
    highWaterMark: chunkSize,
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      see(chunk);
      done(null, chunk);
    },
  });
}
