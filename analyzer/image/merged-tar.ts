import { Readable } from 'node:stream';
import type { Rewrite } from '../keep/types.js';
import { blockSize, padded } from './tar-header.js';
import { encodeHeader, endOfArchive, memberAt, padding, type Member } from './tar-encode.js';
import { PositionedFiles } from './positioned-files.js';
import type { ImagePath } from './path.js';
import type { Entry, Image, Layer, Node, Tree } from './types.js';

/** Bytes of a file on this machine. */
export interface FileRange {
  file: string;
  /** Bytes from the beginning. */
  position: number;
  length: number;
}

/** A member that is in no layer. `content` is given for files: bytes, or ranges one after the other. */
export interface ExtraMember extends Omit<Member, 'size'> {
  content?: Buffer | readonly FileRange[];
}

export interface MergedTarOptions {
  /** Which nodes come; parents of one that comes always do. Default: all. */
  include?: (node: Node) => boolean;
  /** New content for regular files; a rewritten file is cut off from its hardlinks. */
  rewrites?: readonly Rewrite[];
  /** Members to follow at the end; their parents must be in the tree, or stand before them here. */
  extra?: readonly ExtraMember[];
  signal?: AbortSignal;
}

type Piece = Buffer | FileRange;

const chunkSize = 256 * 1024;

/**
 * The merged tree (or a part of it) as one tar: the root directory first, parents before children,
 * the target of a hardlink before its links; metadata is that of the layers' members. Made for tar(1):
 * sparse files are members of GNU's type 'S', which neither engines nor sqfstar 4.5 read. The order,
 * and so the bytes, depend on the image alone.
 */
export function mergedTar(
  image: Pick<Image, 'tree' | 'layers'>,
  options: MergedTarOptions = {},
): Readable {
  return Readable.from(chunksOf(pieces(image, options), options.signal), {
    objectMode: false,
    highWaterMark: 2 * chunkSize,
  });
}

function* pieces(
  { tree, layers }: { tree: Tree; layers: readonly Layer[] },
  { include = () => true, rewrites = [], extra = [] }: MergedTarOptions,
): Generator<Piece, void, undefined> {
  const contents = new Map(rewrites.map(({ path, content }) => [path, content]));
  // The first path of each inode that came so far.
  const firsts = new Map<Entry, ImagePath>();
  for (const node of withParents(tree, include)) {
    const content = contents.get(node.path);
    if (content && node.kind === 'file') {
      yield* withContent({ ...rewritten(node), size: content.length }, content);
      continue;
    }
    const first = node.links && firsts.get(node.inode);
    if (first !== undefined) {
      yield encodeHeader({ ...memberAt(node.path, node.entry), kind: 'hardlink', link: first });
      continue;
    }
    if (node.links) firsts.set(node.inode, node.path);
    yield* inodeAt(node, layers);
  }
  for (const { content, ...member } of extra) {
    const size = Buffer.isBuffer(content) ? content.length : total(content ?? []);
    yield* withContent({ ...member, size }, content ?? []);
  }
  yield endOfArchive();
}

/** The nodes that `include` wants, each directory also where only something below is wanted. */
function* withParents(tree: Tree, include: (node: Node) => boolean): Generator<Node> {
  yield tree.root;
  const pending: Node[] = []; // ancestors of the node at hand that have not come
  for (const node of tree.nodes()) {
    while (pending.length > 0 && !isBelow(pending.at(-1), node)) pending.pop();
    if (!include(node)) {
      if (node.kind === 'dir') pending.push(node);
      continue;
    }
    yield* pending.splice(0);
    yield node;
  }
}

function isBelow(dir: Node | undefined, node: Node): boolean {
  return dir !== undefined && node.path.startsWith(`${dir.path}/`);
}

function rewritten(node: Node): Member {
  const member = memberAt(node.path, node.inode);
  delete member.sparse;
  return member;
}

function* inodeAt(node: Node, layers: readonly Layer[]): Generator<Piece, void, undefined> {
  const entry = node.inode;
  const file = layers[entry.layer]?.file ?? '';
  if (entry.plain && entry.path === node.path) {
    // Padding may be missing at the end of a layer.
    const length = entry.endOffset - entry.headerOffset;
    yield { file, position: entry.headerOffset, length };
    if (length % blockSize !== 0) yield padding(length);
    return;
  }
  yield encodeHeader(memberAt(node.path, entry));
  if (entry.storedSize === 0) return;
  yield { file, position: entry.dataOffset, length: entry.storedSize };
  yield padding(entry.storedSize);
}

function* withContent(
  member: Member,
  content: Buffer | readonly FileRange[],
): Generator<Piece, void, undefined> {
  yield encodeHeader(member);
  if (member.kind !== 'file') return;
  if (Buffer.isBuffer(content)) yield content;
  else yield* content;
  yield padding(member.size);
}

function total(ranges: readonly FileRange[]): number {
  return ranges.reduce((sum, { length }) => sum + length, 0);
}

// Small pieces share a chunk; file ranges are read straight into it.
async function* chunksOf(
  source: Iterable<Piece>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  const files = new PositionedFiles();
  let chunk = Buffer.allocUnsafe(chunkSize);
  let used = 0;
  try {
    for (const piece of source) {
      for (let done = 0; done < piece.length;) {
        const count = Math.min(piece.length - done, chunkSize - used);
        if (Buffer.isBuffer(piece)) {
          piece.copy(chunk, used, done, done + count);
        } else {
          await files.readInto(
            piece.file,
            chunk.subarray(used, used + count),
            piece.position + done,
          );
        }
        done += count;
        used += count;
        if (used === chunkSize) {
          signal?.throwIfAborted();
          yield chunk;
          chunk = Buffer.allocUnsafe(chunkSize);
          used = 0;
        }
      }
    }
    yield chunk.subarray(0, used);
  } finally {
    files.close();
  }
}

/** An upper bound, in bytes, of what the included files take on a disk. */
export function contentSize(tree: Tree, include: (node: Node) => boolean = () => true): number {
  const seen = new Set<Entry>();
  let size = 0;
  for (const node of tree.nodes()) {
    if (!include(node) || (node.links && seen.has(node.inode))) continue;
    if (node.links) seen.add(node.inode);
    size += padded(node.inode.storedSize) + blockSize;
  }
  return size;
}
