import { closeSync, openSync } from 'node:fs';
import type { ImagePath } from '../../analyzer/image/path.js';
import type { Entry, Image, Layer } from '../../analyzer/image/types.js';
import { FileSource } from '../../analyzer/image/byte-source.js';
import { maximumLiteral, type RecipeStep } from './recipe.js';

/** Where the data of every layer member can be found again. */
export interface Payloads {
  /** A path of the merged tree that shows the member's data. */
  visible: ReadonlyMap<Entry, ImagePath>;
  /** Members whose data no path shows, in order: their place is their number. */
  hidden: readonly Entry[];
}

/** Sort the data of all members of `image` into what its merged tree shows and what is hidden. */
export function findPayloads(image: Image): Payloads {
  const visible = new Map<Entry, ImagePath>();
  for (const node of image.tree.nodes()) {
    if (node.kind === 'file' && !visible.has(node.inode)) visible.set(node.inode, node.path);
  }
  const hidden = image.layers.flatMap((layer) =>
    layer.entries.filter((entry) => entry.storedSize > 0 && !visible.has(entry)),
  );
  return { visible, hidden };
}

/** The steps that rebuild the tar of `layer`: its data by reference, every other byte literally. */
export function* recipeOf(
  layer: Layer,
  payloads: Payloads,
  hiddenIndex: ReadonlyMap<Entry, number>,
): Generator<RecipeStep> {
  const fd = openSync(layer.file, 'r');
  try {
    const source = new FileSource(fd, layer.size);
    let written = 0;
    for (const entry of layer.entries) {
      if (entry.storedSize === 0) continue;
      yield* literal(source, written, entry.dataOffset);
      written = entry.dataOffset + entry.storedSize;
      const index = hiddenIndex.get(entry);
      const path = payloads.visible.get(entry);
      if (index !== undefined) yield { kind: 'hidden', index, length: entry.storedSize };
      else if (path !== undefined) yield* treeSteps(entry, path);
    }
    yield* literal(source, written, layer.size);
  } finally {
    closeSync(fd);
  }
}

function* treeSteps(entry: Entry, path: ImagePath): Generator<RecipeStep> {
  for (const { offset, length } of entry.sparse ?? [{ offset: 0, length: entry.storedSize }]) {
    yield { kind: 'tree', path, offset, length };
  }
}

// Headers of neighbours without data (directories, links) come in one step.
function* literal(source: FileSource, from: number, to: number): Generator<RecipeStep> {
  for (let at = from; at < to; at += maximumLiteral) {
    // a copy: the source reuses its memory
    const bytes = Buffer.from(source.read(at, Math.min(maximumLiteral, to - at)));
    yield { kind: 'literal', bytes };
  }
}
