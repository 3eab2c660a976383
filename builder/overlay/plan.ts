import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createDeflate } from 'node:zlib';
import { joinPath } from '../../analyzer/image/path.js';
import { encodeHeader, type Member } from '../../analyzer/image/tar-encode.js';
import type { Digest, Entry, Image, Node } from '../../analyzer/image/types.js';
import {
  contentMember,
  denseMember,
  endOfTar,
  freshMember,
  linkMember,
  storedData,
} from '../layers/members.js';
import { metadataPath, parentsOf, type Selection } from '../layers/selection.js';
import { portableReference } from '../provenance.js';
import type { Piece } from '../stream/pieces.js';
import { metadataFiles, type OverlayMetadata } from './metadata.js';
import { encodeRecipe } from './recipe.js';
import { findPayloads, recipeOf, type Payloads } from './recipe-plan.js';

/** What goes into an overlay. */
export interface OverlayPlan {
  /** Members of the original tree: what is removed or rewritten, and the directories above it. */
  nodes: Node[];
  payloads: Payloads;
  /** Regular files, symlinks, … of `nodes` (directories left out). */
  files: number;
}

/** Work out which nodes the overlay of `image` holds, parents first. */
export function planOverlay(image: Image, selection: Selection): OverlayPlan {
  const own = new Set(selection.removed);
  for (const node of image.tree.nodes()) if (selection.rewrites.has(node.inode)) own.add(node);
  const parents = parentsOf(image.tree, own);
  const nodes = [...image.tree.nodes()].filter((node) => own.has(node) || parents.has(node));
  return { nodes, payloads: findPayloads(image), files: own.size };
}

/** What {@link overlayTar} needs besides the plan. */
export interface OverlayTarOptions {
  /** Digests of the debloated image's layer tars; waited for last. */
  diffIds: readonly Digest[] | Promise<readonly Digest[]>;
  /** A directory for temporary files. */
  scratch: string;
  /** Whether the reader of the tar understands this sparse file; else its holes become zeros. */
  readsSparse: (entry: Entry) => boolean;
}

/**
 * The overlay as one tar: the root directory and `plan.nodes` with fresh headers, then the metadata
 * (docs/overlay-format.md).
 */
export async function* overlayTar(
  image: Image,
  selection: Selection,
  plan: OverlayPlan,
  { diffIds, scratch, readsSparse }: OverlayTarOptions,
): AsyncGenerator<Piece> {
  yield* freshMember(image, image.tree.root.inode, '/');
  const written = new Map<Entry, Node>();
  for (const node of plan.nodes) {
    const first = written.get(node.inode);
    if (first) yield* linkMember(node.inode, node.path, first.path);
    else if (node.inode.sparse && !readsSparse(node.inode)) {
      yield* denseMember(image, node.inode, node.path);
    } else yield* freshMember(image, node.inode, node.path);
    if (node.links) written.set(node.inode, first ?? node);
  }

  // as the root directory's owner: squashfs-root.ts wants to find that owner among the files'
  const { uid, gid } = image.tree.root.inode;
  yield* directory('', { uid, gid });
  yield* document(metadataFiles.manifest, image.manifest.bytes);
  yield* document(metadataFiles.config, image.config.bytes);
  yield* hiddenFiles(image, plan.payloads.hidden);
  yield* directory('layers');
  const hiddenIndex = new Map(plan.payloads.hidden.map((entry, index) => [entry, index]));
  for (const layer of image.layers) {
    const file = join(scratch, `${layer.index}.recipe`);
    await pipeline(
      Readable.from(encodeRecipe(recipeOf(layer, plan.payloads, hiddenIndex)), {
        objectMode: false,
      }),
      createDeflate({ level: 6 }),
      createWriteStream(file),
    );
    const { size } = await stat(file);
    yield* contentMember(metadataMember(metadataFiles.recipe(layer.index), size), {
      file,
      offset: 0,
      length: size,
    });
  }
  const metadata = describe(image, selection, plan, await diffIds);
  yield* document(metadataFiles.overlay, Buffer.from(JSON.stringify(metadata, undefined, 2)));
  yield endOfTar;
}

function describe(
  image: Image,
  selection: Selection,
  plan: OverlayPlan,
  diffIds: readonly Digest[],
): OverlayMetadata {
  const { manifest, config } = image;
  return {
    format: 1,
    source: {
      reference: portableReference(image.reference),
      manifest: { mediaType: manifest.mediaType, digest: manifest.digest },
      config: { mediaType: config.mediaType, digest: config.digest },
      layers: image.layers.map(({ diffId, size, descriptor }) => ({
        diffId,
        size,
        mediaType: descriptor.mediaType,
      })),
    },
    debloated: { diffIds: [...diffIds] },
    rewritten: plan.nodes
      .filter((node) => selection.rewrites.has(node.inode))
      .map((node) => node.path),
    hidden: plan.payloads.hidden.length,
  };
}

// A thousand to a directory: file systems slow down on huge ones.
function* hiddenFiles(image: Image, hidden: readonly Entry[]): Generator<Piece> {
  yield* directory('hidden');
  for (const [index, entry] of hidden.entries()) {
    if (index % 1000 === 0) yield* directory(`hidden/${index / 1000}`);
    const member = metadataMember(metadataFiles.hidden(index), entry.storedSize);
    yield* contentMember(member, storedData(image, entry));
  }
}

function* document(name: string, bytes: Buffer): Generator<Piece> {
  yield* contentMember(metadataMember(name, bytes.length), { bytes });
}

function* directory(name: string, owner = { uid: 0, gid: 0 }): Generator<Piece> {
  const path = name === '' ? metadataPath : joinPath(metadataPath, name);
  yield {
    bytes: encodeHeader({ ...metadataMember('', 0), ...owner, path, kind: 'dir', mode: 0o700 }),
  };
}

// For root alone: hidden files can be secrets that a later layer had deleted.
function metadataMember(name: string, size: number): Member {
  const path = joinPath(metadataPath, name);
  return { path, kind: 'file', mode: 0o600, uid: 0, gid: 0, mtime: 0, size };
}
