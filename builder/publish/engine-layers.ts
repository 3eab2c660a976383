import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { decompressor } from '../../analyzer/transport/compression.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import { OciLayout } from '../oci-layout.js';
import { layerMediaTypes } from '../stream/compression.js';
import type { BuiltImage } from '../types.js';

/**
 * The layers of `built` as files that every engine can load: gzip and plain tar as they are,
 * zstd, which Docker reads since version 23 only, decompressed in the workspace.
 */
export async function engineLayers(
  built: BuiltImage,
  { workspace, signal }: { workspace: Workspace; signal?: AbortSignal | undefined },
): Promise<{ file: string; size: number }[]> {
  const layout = OciLayout.open(built.layout);
  const layers: { file: string; size: number }[] = [];
  for (const [index, { descriptor, size }] of built.layers.entries()) {
    const blob = layout.blob(descriptor.digest);
    if (descriptor.mediaType !== layerMediaTypes.zstd) {
      layers.push({ file: blob, size: descriptor.size });
      continue;
    }
    const file = join(await workspace.directory('layer'), `${index}.tar`);
    await pipeline(
      [createReadStream(blob), decompressor('zstd'), createWriteStream(file)],
      signal ? { signal } : {},
    );
    layers.push({ file, size });
  }
  return layers;
}
