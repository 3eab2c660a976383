import { baseName } from '../image/path.js';
import type { ImagePath } from '../image/path.js';
import type { Node, Tree } from '../image/types.js';
import type { KeepSet, Reason } from '../keep/types.js';

/** A directory or file of the merged tree with what stays and what goes below it. */
export interface Usage {
  path: ImagePath;
  name: string;
  /** Bytes of regular files below; a hardlink group counts at its first path. */
  kept: number;
  removed: number;
  /** Regular files below (or 1), by path. */
  keptFiles: number;
  removedFiles: number;
  /** Of a kept file. */
  reason?: Reason;
  children?: Usage[];
}

/** Whether a node of the merged tree stays: directories always, a hardlink group if one of it does. */
export function staysIn(keep: KeepSet, node: Node): boolean {
  if (node.kind === 'dir' || keep.reasons.has(node.path)) return true;
  return node.links?.some((path) => keep.reasons.has(path)) ?? false;
}

/** Sum up kept and removed regular files for every directory of the tree. */
export function measureUsage(tree: Tree, keep: KeepSet): Usage {
  const root: Usage = empty('/', '/');
  root.children = [];
  const directories = new Map<ImagePath, Usage>([['/', root]]);
  const order = [root];
  for (const node of tree.nodes()) {
    if (node.kind !== 'file' && node.kind !== 'dir') continue;
    const usage = empty(node.path, baseName(node.path));
    directories.get(node.path.slice(0, node.path.lastIndexOf('/')) || '/')?.children?.push(usage);
    if (node.kind === 'dir') {
      usage.children = [];
      directories.set(node.path, usage);
      order.push(usage);
    } else {
      countFile(usage, node, keep);
    }
  }
  for (const directory of order.reverse()) sumUp(directory); // children come after parents
  return root;
}

function countFile(usage: Usage, node: Node, keep: KeepSet): void {
  const size = node.links && node.links[0] !== node.path ? 0 : node.inode.size;
  if (!staysIn(keep, node)) {
    usage.removed = size;
    usage.removedFiles = 1;
    return;
  }
  usage.kept = size;
  usage.keptFiles = 1;
  const through = [node.path, ...(node.links ?? [])].find((path) => keep.reasons.has(path));
  const reason = through === undefined ? undefined : keep.reasons.get(through);
  if (reason) usage.reason = reason;
}

function sumUp(directory: Usage): void {
  for (const child of directory.children ?? []) {
    directory.kept += child.kept;
    directory.removed += child.removed;
    directory.keptFiles += child.keptFiles;
    directory.removedFiles += child.removedFiles;
  }
}

function empty(path: ImagePath, name: string): Usage {
  return { path, name, kept: 0, removed: 0, keptFiles: 0, removedFiles: 0 };
}

/** Every file (not directory) below `usage`. */
export function* filesOf(usage: Usage): Iterable<Usage> {
  if (!usage.children) yield usage;
  else for (const child of usage.children) yield* filesOf(child);
}
