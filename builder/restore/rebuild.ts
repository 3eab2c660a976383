import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInflate } from 'node:zlib';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { extents } from '../../analyzer/image/content.js';
import { pathToBytes, type ImagePath } from '../../analyzer/image/path.js';
import type { Image } from '../../analyzer/image/types.js';
import { metadataPath } from '../layers/selection.js';
import { metadataFiles } from '../overlay/metadata.js';
import { decodeRecipe } from '../overlay/recipe.js';
import type { Piece } from '../stream/pieces.js';

/** What a layer is rebuilt from. */
export interface RebuildSource {
  debloated: Image;
  /** Directory that the overlay is unpacked in. */
  overlay: string;
  /** Files whose original is in the overlay although the debloated image has them, too. */
  rewritten: ReadonlySet<ImagePath>;
}

/** The bytes of the original tar of layer `index`, by its recipe. */
export async function* rebuildLayer(source: RebuildSource, index: number): AsyncGenerator<Piece> {
  const metadata = join(source.overlay, metadataPath);
  const compressed = createReadStream(join(metadata, metadataFiles.recipe(index)));
  const recipe = compressed.pipe(createInflate());
  compressed.on('error', (error) => recipe.destroy(error));
  try {
    for await (const step of decodeRecipe(recipe as AsyncIterable<Buffer>)) {
      switch (step.kind) {
        case 'literal':
          yield { bytes: step.bytes };
          break;
        case 'hidden':
          yield {
            file: join(metadata, metadataFiles.hidden(step.index)),
            offset: 0,
            length: step.length,
          };
          break;
        case 'tree':
          yield* treeContent(source, step.path, step.offset, step.length);
          break;
      }
    }
  } catch (error) {
    if (error instanceof DebloatError) throw error;
    throw new DebloatError(`layer ${index + 1} cannot be rebuilt: ${messageOf(error)}`, {
      hint: 'the overlay is damaged: fetch it again',
      cause: error,
    });
  } finally {
    compressed.destroy();
  }
}

function* treeContent(
  { debloated, overlay, rewritten }: RebuildSource,
  path: ImagePath,
  offset: number,
  length: number,
): Generator<Piece> {
  const node = rewritten.has(path) ? undefined : debloated.tree.get(path);
  if (node?.kind !== 'file') {
    const file = Buffer.concat([Buffer.from(overlay), pathToBytes(path)]);
    yield { file, offset, length };
    return;
  }
  const layer = debloated.layers[node.inode.layer];
  if (!layer) throw new Error(`${path} is in no layer`);
  for (const { length: part, position } of extents(node.inode, offset, length)) {
    if (position === undefined) yield { zeros: part };
    else yield { file: layer.file, offset: position, length: part };
  }
}
