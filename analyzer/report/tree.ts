import type { Reason } from '../keep/types.js';
import type { ReportTreeNode } from './model.js';
import type { Usage } from './usage.js';

/**
 * The tree of `root` with at most `limit` nodes: the biggest by kept + removed bytes stay on their
 * own, what is left out of a directory becomes one child named "".
 */
export function compactTree(
  root: Usage,
  describeReason: (reason: Reason) => string,
  limit = 1500,
): ReportTreeNode {
  const chosen = chooseBiggest(root, limit);
  return compact(root, chosen, describeReason);
}

// No node is bigger than its parent and the sort is stable, so parents are always chosen first.
function chooseBiggest(root: Usage, limit: number): Set<Usage> {
  const all: Usage[] = [];
  const collect = (usage: Usage): void => {
    if (sizeOf(usage) === 0 && usage !== root) return;
    all.push(usage);
    usage.children?.forEach(collect);
  };
  collect(root);
  all.sort((a, b) => sizeOf(b) - sizeOf(a));
  const chosen = new Set<Usage>();
  let nodes = 0;
  for (const usage of all) {
    nodes += usage.children ? 2 : 1; // a directory may need a child for the rest
    if (nodes > limit && chosen.size > 0) break;
    chosen.add(usage);
  }
  return chosen;
}

function compact(
  usage: Usage,
  chosen: ReadonlySet<Usage>,
  describeReason: (reason: Reason) => string,
): ReportTreeNode {
  const node: ReportTreeNode = {
    name: usage.name,
    kept: usage.kept,
    removed: usage.removed,
    files: usage.keptFiles + usage.removedFiles,
  };
  if (usage.reason) node.reason = describeReason(usage.reason);
  if (!usage.children) return node;
  const rest: ReportTreeNode = { name: '', kept: 0, removed: 0, files: 0 };
  const children: ReportTreeNode[] = [];
  for (const child of usage.children) {
    if (chosen.has(child)) {
      children.push(compact(child, chosen, describeReason));
    } else {
      rest.kept += child.kept;
      rest.removed += child.removed;
      rest.files += child.keptFiles + child.removedFiles;
    }
  }
  // a directory of which nothing stands on its own is drawn as one
  if (children.length > 0) {
    if (rest.files > 0) children.push(rest);
    children.sort((a, b) => b.kept + b.removed - a.kept - a.removed);
    node.children = children;
  }
  return node;
}

function sizeOf(usage: Usage): number {
  return usage.kept + usage.removed;
}
