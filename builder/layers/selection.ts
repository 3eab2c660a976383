import { DebloatError } from '../../analyzer/errors.js';
import { parentOf, type ImagePath } from '../../analyzer/image/path.js';
import type { Entry, Image, Node, Tree } from '../../analyzer/image/types.js';
import type { KeepSet, Rewrite } from '../../analyzer/keep/types.js';

/** Reserved in every overlay for the metadata (docs/overlay-format.md). */
export const metadataPath: ImagePath = '/.debloat';

/** What a keep set means for one image, hardlinks and rewritten files worked out. */
export interface Selection {
  /** Whether the debloated image has `node`: directories always, all names of an inode or none. */
  isKept(node: Node): boolean;
  /** New content of a kept file, by the member that holds its data. */
  rewrites: ReadonlyMap<Entry, Rewrite>;
  /** The node that each visible member makes; its path can differ where a parent is a symlink. */
  shown: ReadonlyMap<Entry, Node>;
  /** The name under which each hardlinked inode is written, by its member. */
  leaders: ReadonlyMap<Entry, Node>;
  /** Everything that is not kept, in tree order; no directories. */
  removed: readonly Node[];
}

/**
 * Work out which nodes of `image` stay. Names of one inode stay or go together, so that no hardlink
 * group is torn between debloated image and overlay.
 * Throws a DebloatError if the image uses {@link metadataPath}, or a rewrite has no file to rewrite.
 */
export function select(image: Image, keepSet: KeepSet, rewrites: readonly Rewrite[]): Selection {
  if (image.tree.get(metadataPath)) {
    throw new DebloatError(`${image.reference} contains ${metadataPath}, which debloat reserves`, {
      hint: 'rename that path in the image; the overlay keeps its own metadata under this name',
    });
  }
  const kept = new Set<Entry>();
  const leaders = new Map<Entry, Node>();
  const shown = new Map<Entry, Node>();
  for (const node of image.tree.nodes()) {
    shown.set(node.entry, node);
    if (node.kind === 'dir') continue;
    if (keepSet.reasons.has(node.path)) kept.add(node.inode);
    if (node.inode !== node.entry || node.links) {
      const leader = leaders.get(node.inode);
      if (!leader || isBefore(node.entry, leader.entry)) leaders.set(node.inode, node);
    }
  }
  const isKept = (node: Node): boolean => node.kind === 'dir' || kept.has(node.inode);
  return {
    isKept,
    shown,
    leaders,
    rewrites: indexRewrites(image, isKept, rewrites),
    removed: [...image.tree.nodes()].filter((node) => !isKept(node)),
  };
}

/** Order in which members are applied: by layer, then by place in the tar. */
export function isBefore(a: Entry, b: Entry): boolean {
  return a.layer === b.layer ? a.headerOffset < b.headerOffset : a.layer < b.layer;
}

/** The directories above `nodes`, root first, each once, parents before children; the root left out. */
export function parentsOf(tree: Tree, nodes: Iterable<Node>): Set<Node> {
  const parents = new Set<Node>();
  const add = (path: ImagePath): void => {
    if (path === '/') return;
    const node = tree.get(path);
    if (!node || parents.has(node)) return;
    add(parentOf(path));
    parents.add(node);
  };
  for (const node of nodes) add(parentOf(node.path));
  return parents;
}

function indexRewrites(
  image: Image,
  isKept: (node: Node) => boolean,
  rewrites: readonly Rewrite[],
): Map<Entry, Rewrite> {
  const byEntry = new Map<Entry, Rewrite>();
  for (const rewrite of rewrites) {
    const { node } = image.tree.resolve(rewrite.path);
    if (node?.kind !== 'file') {
      throw new DebloatError(`${rewrite.path} is to be rewritten but is no file of the image`);
    }
    if (isKept(node)) byEntry.set(node.inode, rewrite);
  }
  return byEntry;
}
