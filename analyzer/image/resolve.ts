import type { Node } from './types.js';

/** What path_resolution(7) allows before ELOOP. */
const maximumLinks = 40;

/**
 * Follow `path` from `root` as the kernel would: `..` after a symlink leaves the symlink's target,
 * a component that is no directory ends the walk, a trailing slash asks for a directory.
 * Returns the node (undefined if something is missing) and every symlink stepped through.
 */
export function resolvePath(
  root: Node,
  path: string,
  { followLast = true }: { followLast?: boolean } = {},
): { node?: Node; links: Node[] } {
  const links: Node[] = [];
  const todo = components(path); // a stack: the next component is the last element
  const wantsDirectory = path.endsWith('/') || path.endsWith('/.');
  const above: Node[] = [];
  let node = root;
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    if (node.kind !== 'dir') return { links };
    if (name === '..') {
      node = above.pop() ?? root;
      continue;
    }
    const child = node.children?.get(name);
    if (!child) return { links };
    const isLast = todo.length === 0;
    if (child.kind === 'symlink' && (!isLast || followLast || wantsDirectory)) {
      if (links.length >= maximumLinks) return { links };
      links.push(child);
      const text = child.inode.link ?? '';
      if (text.startsWith('/')) {
        node = root;
        above.length = 0;
      }
      for (const part of components(text)) todo.push(part);
      continue;
    }
    above.push(node);
    node = child;
  }
  if (wantsDirectory && node.kind !== 'dir') return { links };
  return { node, links };
}

function components(path: string): string[] {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .reverse();
}
