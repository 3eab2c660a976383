import { join } from 'node:path';
import { DebloatError, messageOf } from '../errors.js';
import { explainingDiskFull } from '../image/disk-full.js';
import { layerName } from '../image/image.js';
import { indexLayer } from '../image/index-layer.js';
import type { Digest, Layer } from '../image/types.js';
import type { AcquireContext, Acquired, LayerBlob } from './acquired.js';
import { compressionOf, uncompressedEstimate, type Compression } from './compression.js';
import { digestOfFile, spool, type Spooled } from './spool.js';

// While one is inflated in the thread pool, the other is hashed.
const atOnce = 2;

interface Job {
  blob: LayerBlob;
  index: number;
  /** "layer 2 (sha256:…)". */
  name: string;
  diffId: Digest;
}

/**
 * Bring every layer into the workspace as an uncompressed tar and index it. The digest of each blob
 * and the diff ID of each tar are verified on the way.
 * @throws DebloatError naming the layer if it is damaged, truncated or not what the config says.
 */
export async function unpackLayers(image: Acquired, context: AcquireContext): Promise<Layer[]> {
  const total = image.blobs.reduce((sum, { size }) => sum + size, 0);
  let bytes = 0;
  const unpacker = new LayerUnpacker(context, (count) => {
    bytes += count;
    context.progress?.({ stage: 'unpack', bytes, total });
  });
  const jobs = jobsOf(image);
  const layers: Layer[] = [];
  let next = 0;
  const work = async () => {
    for (let job = jobs[next++]; job; job = jobs[next++]) {
      layers[job.index] = await unpacker.unpack(job);
    }
  };
  const workers = Array.from({ length: atOnce }, () => work().catch(unpacker.stop));
  await Promise.all(workers);
  unpacker.throwIfStopped();
  return layers;
}

function jobsOf({ blobs, config }: Acquired): Job[] {
  return blobs.map((blob, index) => {
    const diffId = config.value.rootfs.diff_ids[index];
    if (!diffId) throw new RangeError('parseConfig has checked the number of layers');
    return { blob, index, name: layerName({ index, descriptor: blob.descriptor }), diffId };
  });
}

class LayerUnpacker {
  readonly #dir: string;
  readonly #advance: (bytes: number) => void;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  #failure: { error: unknown } | undefined;

  constructor(context: AcquireContext, advance: (bytes: number) => void) {
    this.#dir = context.dir;
    this.#advance = advance;
    this.#signal = context.signal
      ? AbortSignal.any([context.signal, this.#abort.signal])
      : this.#abort.signal;
  }

  /** The first failure ends the other worker too, whose own complaint is then not of interest. */
  readonly stop = (error: unknown): void => {
    this.#failure ??= { error };
    this.#abort.abort();
  };

  throwIfStopped(): void {
    if (this.#failure) throw this.#failure.error;
  }

  async unpack(job: Job): Promise<Layer> {
    const { blob, index, name, diffId } = job;
    const { descriptor } = blob;
    if (blob.size !== descriptor.size) {
      throw damaged(`${name} has ${blob.size} bytes instead of ${descriptor.size}`);
    }
    const compression = await compressionOf(blob.file);
    const tar =
      compression === 'none' && blob.own
        ? await this.#inPlace(blob)
        : await this.#spooled(job, compression);
    if (tar.storedDigest !== descriptor.digest) throw wrongBlob(name, tar.storedDigest);
    if (tar.digest !== diffId) {
      throw damaged(`${name} holds a tar whose digest is ${tar.digest} instead of ${diffId}`);
    }
    return {
      index,
      descriptor,
      diffId,
      size: tar.size,
      ...(compression !== 'none' && { compressedSize: descriptor.size }),
      file: tar.file,
      blob: blob.file,
      entries: await indexLayer(tar.file, { index, name }, this.#signal),
    };
  }

  async #inPlace(blob: LayerBlob): Promise<Spooled & { file: string }> {
    const options = { advance: this.#advance, signal: this.#signal };
    if (blob.digest) this.#advance(blob.size);
    const digest = blob.digest ?? (await digestOfFile(blob.file, options));
    return { file: blob.file, digest, storedDigest: digest, size: blob.size };
  }

  async #spooled(job: Job, compression: Compression): Promise<Spooled & { file: string }> {
    const { blob, name } = job;
    const file = join(this.#dir, `layer-${job.index + 1}.tar`);
    const needed = await uncompressedEstimate(blob.file, blob.size);
    const attempt = async (more: Parameters<typeof spool>[3]) =>
      explainingDiskFull(this.#dir, needed, async () => ({
        ...(await spool(blob.file, compression, file, { signal: this.#signal, ...more })),
        file,
      }));
    try {
      return await attempt({ advance: this.#advance });
    } catch (error) {
      if (error instanceof DebloatError || this.#signal.aborted) throw error;
      // What cannot be decompressed is most often not what was asked for: say that first.
      const actual = await digestOfFile(blob.file, { signal: this.#signal });
      if (actual !== blob.descriptor.digest) throw wrongBlob(name, actual);
      // Engines do not mind what follows a compressed tar; whether it is whole the diff ID tells.
      if (compression === 'gzip') {
        const tolerated = await attempt({ tolerant: true }).catch(() => undefined);
        if (tolerated) return tolerated;
      }
      throw damaged(`${name} cannot be decompressed (${compression}): ${messageOf(error)}`, error);
    }
  }
}

function wrongBlob(name: string, actual: Digest): DebloatError {
  return damaged(`${name} is damaged: its bytes have the digest ${actual}`);
}

function damaged(message: string, cause?: unknown): DebloatError {
  return new DebloatError(message, {
    hint: 'it was damaged on its way or where it is stored: pull, copy or build the image again',
    ...(cause !== undefined && { cause }),
  });
}
