import { rename } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { Digest, Image } from '../../analyzer/image/types.js';
import type { OciLayout } from '../oci-layout.js';
import { writeBlob } from '../stream/blob.js';
import { layerMediaTypes } from '../stream/compression.js';
import { readPieces } from '../stream/pieces.js';
import type { Compression, DebloatedLayer } from '../types.js';
import { planFilteredLayer, type LayerPlan } from './filter-plan.js';
import type { Selection } from './selection.js';
import { planSquashedLayer } from './squash-plan.js';

export interface WriteLayersOptions {
  image: Image;
  selection: Selection;
  squash: boolean;
  compression: Compression;
  layout: OciLayout;
  signal?: AbortSignal | undefined;
  /** Called with the uncompressed bytes written since the last call. */
  onBytes?: ((count: number) => void) | undefined;
}

/** Write the target layers of `image` as blobs of `layout`, as many at a time as there are processors. */
export async function writeLayers(options: WriteLayersOptions): Promise<DebloatedLayer[]> {
  const { image, selection } = options;
  const plans = options.squash
    ? [planSquashedLayer(image, selection)]
    : image.layers.map((_, index) => planFilteredLayer(image, selection, index));
  const failed = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
  const built: DebloatedLayer[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < plans.length; index = next++) {
      const plan = plans[index];
      if (plan) built[index] = await writeLayer(plan, index, { ...options, signal });
    }
  };
  const workers = Array.from({ length: Math.min(availableParallelism(), plans.length) }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    failed.abort();
    await Promise.allSettled(workers);
    throw error;
  }
  return built;
}

async function writeLayer(
  plan: LayerPlan,
  index: number,
  { layout, compression, signal, onBytes }: WriteLayersOptions,
): Promise<DebloatedLayer> {
  const partial = `${layout.blob(`sha256:layer-${index}` as Digest)}.partial`;
  const source = counted(readPieces(plan.pieces(), { signal }), onBytes);
  const { content, blob } = await writeBlob(source, partial, compression, signal);
  await rename(partial, layout.blob(blob.digest));
  return {
    descriptor: { mediaType: layerMediaTypes[compression], ...blob },
    diffId: content.digest,
    size: content.size,
    content: plan.content,
  };
}

async function* counted(
  chunks: AsyncIterable<Buffer>,
  onBytes: ((count: number) => void) | undefined,
): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    onBytes?.(chunk.length);
    yield chunk;
  }
}
