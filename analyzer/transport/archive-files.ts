import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import { DebloatError, messageOf } from '../errors.js';
import { Digester } from '../image/digest.js';
import { isDiskFull, diskFull } from '../image/disk-full.js';
import type { AcquireContext } from './acquired.js';
import { compressionOf, decompressor } from './compression.js';
import type { FileSet, StoredFile } from './file-set.js';

const chunkSize = 256 * 1024;
type ArchiveEntry = ReturnType<typeof extract> extends AsyncIterable<infer E> ? E : never;

const maximumMembers = 10_000;

/**
 * Take an archive of an image (`docker save`, OCI archive) apart while it streams in: each member
 * becomes a file of the workspace, hashed on the way, under a number instead of its name.
 */
export class ArchiveFiles implements FileSet {
  readonly #files = new Map<string, StoredFile>();
  readonly #links = new Map<string, string>();

  /** @param source how errors call the archive. */
  static async fromStream(
    stream: NodeJS.ReadableStream,
    source: string,
    context: AcquireContext,
    total?: number,
  ): Promise<ArchiveFiles> {
    const files = new ArchiveFiles();
    try {
      await files.#takeApart(stream, context, total);
    } catch (error) {
      context.signal?.throwIfAborted();
      if (error instanceof DebloatError) throw error;
      if (isDiskFull(error)) throw await diskFull(context.dir, total ?? 0, error);
      throw new DebloatError(`${source} is damaged or no tar archive: ${messageOf(error)}`, {
        hint: 'save the image again',
        cause: error,
      });
    }
    return files;
  }

  /** An archive in a file, which may be compressed. */
  static async fromFile(
    file: string,
    source: string,
    context: AcquireContext,
  ): Promise<ArchiveFiles> {
    const { size, compression } = await look(file);
    const stream = createReadStream(file, { highWaterMark: chunkSize });
    if (compression === 'none') return ArchiveFiles.fromStream(stream, source, context, size);
    const inflated = decompressor(compression);
    stream.on('error', (error) => inflated.destroy(error));
    return ArchiveFiles.fromStream(stream.pipe(inflated), source, context);
  }

  find(name: string): Promise<StoredFile | undefined> {
    let at = posix.normalize(name);
    // Engines link a layer that occurs twice.
    for (let steps = 0; steps < 8; steps++) {
      const target = this.#links.get(at);
      if (target === undefined) break;
      at = target;
    }
    return Promise.resolve(this.#files.get(at));
  }

  async #takeApart(
    stream: NodeJS.ReadableStream,
    context: AcquireContext,
    total?: number,
  ): Promise<void> {
    const { dir, progress, signal } = context;
    const archive = extract();
    let bytes = 0;
    const counter = new Transform({
      highWaterMark: chunkSize,
      transform(chunk: Buffer, _encoding, done: TransformCallback) {
        bytes += chunk.length;
        progress?.({ stage: 'fetch', bytes, ...(total !== undefined && { total }) });
        done(null, chunk);
      },
    });
    const outcomes = await Promise.allSettled([
      this.#store(archive, dir),
      pipeline(
        stream,
        counter,
        archive as unknown as NodeJS.WritableStream,
        signal ? { signal } : {},
      ),
    ]);
    const errors = outcomes.flatMap((outcome): unknown[] =>
      outcome.status === 'rejected' ? [outcome.reason] : [],
    );
    // One side's failure closes the other, which then complains of that.
    if (errors.length > 0) throw errors.find((error) => !isAftermath(error)) ?? errors[0];
  }

  async #store(members: AsyncIterable<ArchiveEntry>, dir: string): Promise<void> {
    let count = 0;
    for await (const member of members) {
      if (count++ > maximumMembers) throw new Error(`it has more than ${maximumMembers} members`);
      const { name, type, linkname } = member.header;
      const path = posix.normalize(name);
      if (type === 'symlink') this.#links.set(path, posix.join(posix.dirname(path), linkname));
      if (type === 'link') this.#links.set(path, posix.normalize(linkname));
      if (type === 'file' || type === 'contiguous-file') {
        this.#files.set(path, await storeMember(member, join(dir, `member-${count}`)));
      } else {
        member.resume();
      }
    }
  }
}

function isAftermath(error: unknown): boolean {
  return /premature|closed/i.test(messageOf(error));
}

async function storeMember(member: ArchiveEntry, file: string): Promise<StoredFile> {
  const digester = new Digester();
  await pipeline(
    member as unknown as NodeJS.ReadableStream,
    new Transform({
      highWaterMark: chunkSize,
      transform(chunk: Buffer, _encoding, done: TransformCallback) {
        digester.update(chunk);
        done(null, chunk);
      },
    }),
    createWriteStream(file, { flags: 'wx', highWaterMark: 4 * chunkSize }),
  );
  return { file, size: digester.size, digest: digester.digest(), own: true };
}

async function look(file: string) {
  try {
    const { size } = await stat(file);
    return { size, compression: await compressionOf(file) };
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new DebloatError(
      isMissing ? `there is no file ${file}` : `cannot read ${file}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
