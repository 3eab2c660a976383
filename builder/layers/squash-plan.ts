import type { Image } from '../../analyzer/image/types.js';
import { endOfTar, freshMember, linkMember, rawMember, rewrittenMember } from './members.js';
import { contentSize, type LayerPlan } from './filter-plan.js';
import type { Selection } from './selection.js';
import type { Entry, Node } from '../../analyzer/image/types.js';

/** All that is kept as one layer, in tree order: parents first, siblings by name. */
export function planSquashedLayer(image: Image, selection: Selection): LayerPlan {
  const kept = (): Iterable<Node> => keptNodes(image, selection);
  const sizes = new Map([...kept()].map((node) => [node.inode, contentSize(selection, node)]));
  return {
    content: [...sizes.values()].reduce((sum, size) => sum + size, 0),
    *pieces() {
      const written = new Map<Entry, Node>();
      if (!image.tree.root.entry.synthesized) yield* rawMember(image, image.tree.root.entry);
      for (const node of kept()) {
        const { entry, inode } = node;
        const first = written.get(inode);
        const rewrite = selection.rewrites.get(inode);
        if (first) yield* linkMember(inode, node.path, first.path);
        else if (rewrite) yield* rewrittenMember(inode, node.path, rewrite.content);
        else if (entry === inode && entry.path === node.path && !entry.synthesized)
          yield* rawMember(image, entry);
        else yield* freshMember(image, inode, node.path);
        if (node.links) written.set(inode, first ?? node);
      }
      yield endOfTar;
    },
  };
}

function* keptNodes(image: Image, selection: Selection): Generator<Node> {
  for (const node of image.tree.nodes()) if (selection.isKept(node)) yield node;
}
