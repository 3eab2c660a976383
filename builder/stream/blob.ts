import { createReadStream, createWriteStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { Digester } from '../../analyzer/image/digest.js';
import type { Digest } from '../../analyzer/image/types.js';
import type { Compression } from '../types.js';
import { compressor } from './compression.js';

/** Digest and size in bytes of a byte stream. */
export interface Measured {
  digest: Digest;
  size: number;
}

/**
 * Write `source` compressed to `file`. Returns digest and size before and after the compression,
 * both taken on the way through. Throws a DebloatError on a full disk.
 */
export async function writeBlob(
  source: AsyncIterable<Buffer>,
  file: string,
  compression: Compression,
  signal?: AbortSignal,
): Promise<{ content: Measured; blob: Measured }> {
  const content = meter();
  const blob = meter();
  try {
    await pipeline(
      [
        Readable.from(source, { objectMode: false, highWaterMark: 1024 * 1024 }),
        content.stream,
        ...compressor(compression),
        blob.stream,
        createWriteStream(file, { highWaterMark: 1024 * 1024 }),
      ],
      signal ? { signal } : {},
    );
  } catch (error) {
    throw explainWriteError(error, file);
  }
  return { content: content.result(), blob: blob.result() };
}

/** Digest and size of a file. */
export async function measureFile(file: string, signal?: AbortSignal): Promise<Measured> {
  const digester = new Digester();
  const stream = createReadStream(file, { highWaterMark: 1024 * 1024, ...(signal && { signal }) });
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    digester.update(chunk);
  }
  return { digest: digester.digest(), size: digester.size };
}

/** An error of the file system, told to the user; anything else as it is. */
export function explainWriteError(error: unknown, file: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new DebloatError(`the disk is full: ${file} could not be written`, {
      hint: 'make room, or set DEBLOAT_TMPDIR and --output-dir to a larger disk',
      cause: error,
    });
  }
  if (
    code === 'EACCES' ||
    code === 'EROFS' ||
    code === 'EPERM' ||
    code === 'ENOENT' ||
    code === 'ENOTDIR'
  ) {
    return new DebloatError(`cannot write ${file}: ${messageOf(error)}`, {
      hint: 'choose a directory that exists and that you may write to',
      cause: error,
    });
  }
  return error;
}

function meter(): { stream: Transform; result: () => Measured } {
  const digester = new Digester();
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      digester.update(chunk);
      done(null, chunk);
    },
  });
  return { stream, result: () => ({ digest: digester.digest(), size: digester.size }) };
}
