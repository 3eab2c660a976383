import picomatch from 'picomatch';
import { baseName, joinPath, type ImagePath } from '../image/path.js';
import type { Node, Tree } from '../image/types.js';

/** Every node below `dir` (itself left out), parents first; `descend` may hold back from a directory. */
export function* nodesBelow(
  dir: Node | undefined,
  descend: (dir: Node) => boolean = () => true,
): Generator<Node> {
  for (const child of dir?.children?.values() ?? []) {
    yield child;
    if (child.kind === 'dir' && descend(child)) yield* nodesBelow(child, descend);
  }
}

/** As {@link nodesBelow}, directories left out. */
export function* filesBelow(
  dir: Node | undefined,
  descend?: (dir: Node) => boolean,
): Generator<Node> {
  for (const node of nodesBelow(dir, descend)) if (node.kind !== 'dir') yield node;
}

/** The children of the directory at `path`, symlinks on the way followed. */
export function childrenOf(tree: Tree, path: ImagePath): Node[] {
  return [...(tree.resolve(path).node?.children?.values() ?? [])];
}

/** Bytes of the regular files below `dir`. */
export function bytesBelow(dir: Node): number {
  let bytes = 0;
  for (const node of filesBelow(dir)) bytes += node.inode.size;
  return bytes;
}

/** Paths that match `pattern`, an absolute path with `*`, `?` and `[…]` within components (glob(3)). */
export function glob(tree: Tree, pattern: string): ImagePath[] {
  let found: ImagePath[] = ['/'];
  for (const part of pattern.split('/').filter((part) => part !== '' && part !== '.')) {
    if (!/[*?[]/.test(part)) {
      found = found.map((dir) => joinPath(dir, part));
      continue;
    }
    const matches = picomatch(part, {
      noext: true,
      nobrace: true,
      nonegate: true,
      noglobstar: true,
    });
    found = found.flatMap((dir) =>
      childrenOf(tree, dir)
        .map((child) => baseName(child.path))
        .filter((name) => matches(name))
        .map((name) => joinPath(dir, name)),
    );
  }
  return found.filter((path) => tree.resolve(path).node !== undefined);
}

/** The regular, executable file that `command` names, as a shell finds it in `path`; undefined if none. */
export function findProgram(
  tree: Tree,
  path: readonly string[],
  command: string,
  workingDirectory: ImagePath = '/',
): ImagePath | undefined {
  const candidates = command.includes('/')
    ? [command.startsWith('/') ? command : joinPath(workingDirectory, command)]
    : path.map((dir) => joinPath(dir, command));
  return candidates.find((candidate) => {
    const { node } = tree.resolve(candidate);
    return node?.kind === 'file' && (node.inode.mode & 0o111) !== 0;
  });
}
