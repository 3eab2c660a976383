import { closeSync, constants, openSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { DebloatError } from '../../analyzer/errors.js';

/** A stretch of an output: literal bytes, bytes of a file on this machine, or zeros. */
export type Piece =
  { bytes: Buffer } | { file: string | Buffer; offset: number; length: number } | { zeros: number };

export type Pieces = Iterable<Piece> | AsyncIterable<Piece>;

const readAsync = promisify(read);

/** Bytes of one chunk; small pieces are gathered up to this. */
const chunkSize = 256 * 1024;
/** Below this a blocking read from the page cache is cheaper than a turn of the thread pool. */
const smallRead = 64 * 1024;
const maxOpenFiles = 32;

/**
 * The bytes of `pieces`, in chunks of at most 256 KiB. Neighbouring ranges of a file are read as
 * one. Throws a DebloatError if a file is shorter than the range asked for.
 */
export async function* readPieces(
  pieces: Pieces,
  options: { signal?: AbortSignal | undefined } = {},
): AsyncGenerator<Buffer, void, undefined> {
  const files = new OpenFiles();
  let chunk = Buffer.allocUnsafe(chunkSize);
  let used = 0;
  const rotate = (): Buffer => {
    const full = chunk.subarray(0, used);
    chunk = Buffer.allocUnsafe(chunkSize);
    used = 0;
    return full;
  };
  try {
    for await (const piece of joinRanges(pieces)) {
      options.signal?.throwIfAborted();
      const length = lengthOf(piece);
      const fd = 'file' in piece ? files.open(piece.file) : undefined;
      for (let done = 0; done < length;) {
        if (used === chunkSize) yield rotate();
        const part = Math.min(length - done, chunkSize - used);
        if ('bytes' in piece) piece.bytes.copy(chunk, used, done, done + part);
        else if ('zeros' in piece) chunk.fill(0, used, used + part);
        else await fill(fd ?? -1, chunk, used, part, piece.offset + done, piece.file);
        used += part;
        done += part;
      }
    }
    if (used > 0) yield rotate();
  } finally {
    files.close();
  }
}

/** Number of bytes that `piece` stands for. */
export function lengthOf(piece: Piece): number {
  if ('bytes' in piece) return piece.bytes.length;
  return 'zeros' in piece ? piece.zeros : piece.length;
}

async function* joinRanges(pieces: Pieces): AsyncGenerator<Piece> {
  let last: { file: string | Buffer; offset: number; length: number } | undefined;
  for await (const piece of pieces) {
    if (!('file' in piece)) {
      if (last) yield last;
      last = undefined;
      yield piece;
    } else if (last?.file === piece.file && last.offset + last.length === piece.offset) {
      last.length += piece.length;
    } else {
      if (last) yield last;
      last = { ...piece };
    }
  }
  if (last) yield last;
}

async function fill(
  fd: number,
  target: Buffer,
  at: number,
  length: number,
  position: number,
  file: string | Buffer,
): Promise<void> {
  for (let done = 0; done < length;) {
    const count =
      length <= smallRead
        ? readSync(fd, target, at + done, length - done, position + done)
        : (await readAsync(fd, target, at + done, length - done, position + done)).bytesRead;
    if (count === 0) throw new DebloatError(`${file.toString()} is shorter than it should be`);
    done += count;
  }
}

/** Files that were read lately stay open; the one not used for longest is closed first. */
class OpenFiles {
  readonly #fds = new Map<string, number>();

  open(file: string | Buffer): number {
    const key = typeof file === 'string' ? file : file.toString('latin1');
    let fd = this.#fds.get(key);
    if (fd === undefined) fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
    else this.#fds.delete(key);
    this.#fds.set(key, fd);
    for (const [oldest, oldestFd] of this.#fds) {
      if (this.#fds.size <= maxOpenFiles) break;
      this.#fds.delete(oldest);
      closeSync(oldestFd);
    }
    return fd;
  }

  close(): void {
    for (const fd of this.#fds.values()) closeSync(fd);
    this.#fds.clear();
  }
}
