import { digestOf } from '../../analyzer/image/digest.js';
import type { Image } from '../../analyzer/image/types.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import type { Selection } from '../layers/selection.js';
import { attributedOf, uuidFrom } from '../overlay/build.js';
import { capacityFor, wholeBlocks } from '../overlay/capacity.js';
import { overlayWriters } from '../overlay/writers.js';
import { explainWriteError, measureFile, type Measured } from '../stream/blob.js';
import { readPieces } from '../stream/pieces.js';
import type { OverlayFormat } from '../types.js';
import { keptNodes, rootTar, type OwnFile } from './root-tar.js';

export interface RootDiskOptions {
  image: Image;
  selection: Selection;
  own: readonly OwnFile[];
  format: OverlayFormat;
  /** Bytes that an ext4 root has free for the workload; the others cannot be written to. */
  freeSpace: number;
  file: string;
  /** What it is called in errors. */
  makes: string;
  workspace: Workspace;
  signal?: AbortSignal | undefined;
}

/** Write the root disk of a microVM. The same input gives the same bytes. */
export async function writeRootDisk(options: RootDiskOptions): Promise<Measured> {
  const { image, selection, own, format, file, makes, workspace, signal } = options;
  const writer = overlayWriters[format];
  const nodes = [...keptNodes(image, selection)];
  const pieces = rootTar(image, selection, own, (entry) => writer.readsSparse(entry));
  const isWritable = format === 'ext4';
  const needed = capacityFor(nodes);
  const grown = [...selection.rewrites.values()].map(({ content }) => wholeBlocks(content.length));
  const ours = own.map(({ content }) => wholeBlocks(content.length));
  const bytes = [...grown, ...ours].reduce((sum, size) => sum + size, needed.bytes + 64 * 1024);
  const free = isWritable ? options.freeSpace : 0;
  try {
    await writer.write({
      tar: readPieces(pieces, { signal }),
      attributed: attributedOf(image, nodes),
      root: image.tree.root.inode,
      // another one than the overlay's: both can be in one machine
      uuid: uuidFrom(digestOf(Buffer.from(`root of ${image.config.digest}`))),
      file,
      makes,
      writable: isWritable,
      workspace,
      signal,
      // one file for each 16 KiB of the free space, as mke2fs has it
      capacity: {
        bytes: bytes + free,
        inodes: needed.inodes + own.length + 64 + Math.ceil(free / 16384),
      },
    });
  } catch (error) {
    throw explainWriteError(error, file);
  }
  return measureFile(file, signal);
}
