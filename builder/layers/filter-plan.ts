import type { Entry, Image, Node } from '../../analyzer/image/types.js';
import type { Piece } from '../stream/pieces.js';
import { endOfTar, freshMember, linkMember, rawMember, rewrittenMember } from './members.js';
import { isBefore, parentsOf, type Selection } from './selection.js';

/** One target layer: the bytes of its tar, and how many of them are the content of regular files. */
export interface LayerPlan {
  pieces(): Iterable<Piece>;
  content: number;
}

/**
 * Filter layer `index` of `image`: of each path the member that the merged tree shows stays, if the
 * path is kept. A directory stays in every layer that has it, since a layer applied without it would
 * get a parent with made-up metadata. Whiteouts go, as nothing is left for them to hide.
 *
 * A hardlink whose target does not stay becomes the file itself; other names then link to it.
 */
export function planFilteredLayer(image: Image, selection: Selection, index: number): LayerPlan {
  const layer = image.layers[index];
  if (!layer) throw new Error(`the image has no layer ${index}`);
  const orphans = orphanedDirectories(image, selection).filter(
    (node) => node.entry.layer === index,
  );
  const stays = (entry: Entry): Node | undefined => {
    const node = selection.shown.get(entry);
    return node && node.kind !== 'dir' && selection.isKept(node) ? node : undefined;
  };
  return {
    content: layer.entries.reduce((sum, entry) => {
      const node = stays(entry);
      const leads = node && (selection.leaders.get(node.inode) ?? node) === node;
      return leads ? sum + contentSize(selection, node) : sum;
    }, 0),
    *pieces() {
      for (const node of orphans) yield* freshMember(image, node.entry, node.path);
      for (const entry of layer.entries) {
        const node = stays(entry);
        if (node) yield* keptMember(image, selection, node);
        else if (entry.kind === 'dir') yield* keptDirectory(image, selection, entry);
      }
      yield endOfTar;
    },
  };
}

/** Bytes of a kept regular file as it is in the debloated image. */
export function contentSize(selection: Selection, { inode }: Node): number {
  return selection.rewrites.get(inode)?.content.length ?? inode.size;
}

function keptDirectory(image: Image, selection: Selection, entry: Entry): Piece[] {
  if (image.tree.get(entry.path)?.kind === 'dir') return rawMember(image, entry);
  const elsewhere = selection.shown.get(entry);
  return elsewhere ? freshMember(image, entry, elsewhere.path) : [];
}

/** The member for a kept node that is no directory, in a tar whose members come in source order. */
function keptMember(image: Image, selection: Selection, node: Node): Piece[] {
  const { entry, inode } = node;
  const leader = selection.leaders.get(inode) ?? node;
  const isInPlace = entry.path === node.path;
  if (leader !== node) {
    const target = entry.link === undefined ? undefined : image.tree.get(entry.link);
    const targetStays = target?.inode === inode && isBefore(target.entry, entry);
    return targetStays && isInPlace
      ? rawMember(image, entry)
      : linkMember(inode, node.path, leader.path);
  }
  const rewrite = selection.rewrites.get(inode);
  if (rewrite) return rewrittenMember(inode, node.path, rewrite.content);
  return entry === inode && isInPlace
    ? rawMember(image, entry)
    : freshMember(image, inode, node.path);
}

/** Directories that no layer has a member for and that lose everything that implied them. */
function orphanedDirectories(image: Image, selection: Selection): Node[] {
  const implied = [...image.tree.nodes()].filter((node) => node.entry.synthesized);
  if (implied.length === 0) return [];
  const staying = [...image.tree.nodes()].filter(
    (node) => !node.entry.synthesized && selection.isKept(node),
  );
  const stillImplied = parentsOf(image.tree, staying);
  return implied.filter((node) => !stillImplied.has(node));
}
