import { ContentReader } from './read.js';
import { buildTree } from './tree.js';
import type { Document, Image, ImageConfig, ImageManifest, Layer, Platform } from './types.js';

/** How a layer is called in messages: counted from 1, with its digest. */
export function layerName(layer: Pick<Layer, 'index' | 'descriptor'>): string {
  return `layer ${layer.index + 1} (${layer.descriptor.digest})`;
}

/** An image from its parts: builds the merged tree and the readers. */
export function assembleImage(parts: {
  reference: string;
  platform: Platform;
  manifest: Document<ImageManifest>;
  config: Document<ImageConfig>;
  layers: Layer[];
}): Image {
  const tree = buildTree(
    parts.layers.map((layer) => ({ entries: layer.entries, name: layerName(layer) })),
  );
  const reader = new ContentReader(parts.layers);
  return {
    ...parts,
    tree,
    read: (node) => reader.read(node),
    readRange: (node, offset, length) => reader.readRange(node, offset, length),
    close: () => reader.close(),
  };
}
