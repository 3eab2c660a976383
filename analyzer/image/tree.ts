import { DebloatError } from '../errors.js';
import { baseName, joinPath, normalizePath, parentOf, type ImagePath } from './path.js';
import { resolvePath } from './resolve.js';
import type { Entry, EntryKind, Node, Tree } from './types.js';

/** Entries of a layer in tar order. */
export interface LayerEntries {
  entries: Iterable<Entry>;
  /** For errors: "layer 2 (sha256:…)". */
  name?: string;
}

/**
 * Apply the layers in order, base first (OCI image spec, layer.md), as engines do: each layer is a
 * tree of its own laid over the ones below. Within a layer a later member replaces an earlier one;
 * whiteouts and opaque markers hide what lower layers have, never what their own layer brings; a
 * parent that is a symlink of the same layer is followed, one of a lower layer is replaced by a
 * directory.
 *
 * @throws DebloatError if a hardlink has no target or a member cannot be placed.
 */
export function buildTree(layers: Iterable<LayerEntries>): Tree {
  const builder = new TreeBuilder();
  let index = 0;
  for (const layer of layers) {
    builder.apply(layer, index);
    index++;
  }
  return builder.finish();
}

const maximumLinks = 40;

class TreeBuilder {
  readonly #root: Node = directory('/', synthesized('/', 0));
  // The layer whose members and implied parents are being placed.
  #layer = 0;
  #where = '';
  // AUFS kept the targets of its hardlinks here; they are in no tree.
  #metadata = new Map<ImagePath, Entry>();

  apply(layer: LayerEntries, index: number): void {
    this.#layer = index;
    this.#where = layer.name ?? `layer ${index + 1}`;
    this.#metadata = new Map();
    const whiteouts: Entry[] = [];
    for (const entry of layer.entries) {
      if (entry.kind === 'whiteout' || entry.kind === 'opaque') whiteouts.push(entry);
      else if (entry.path.includes('/.wh..wh.')) this.#metadata.set(entry.path, entry);
      else this.#add(entry);
    }
    // Last, so that a hardlink of this layer still finds a target that the layer deletes.
    for (const entry of whiteouts) this.#hide(entry);
  }

  finish(): Tree {
    const byPath = new Map<ImagePath, Node>([['/', this.#root]]);
    const groups = new Map<Entry, Node[]>();
    for (const node of sortAndWalk(this.#root)) {
      byPath.set(node.path, node);
      if (node.kind === 'dir') continue;
      if (node.entry === node.inode && !this.#linked.has(node.inode)) continue;
      const group = groups.get(node.inode);
      if (group) group.push(node);
      else groups.set(node.inode, [node]);
    }
    for (const group of groups.values()) {
      if (group.length < 2) continue;
      const links = group.map((node) => node.path);
      for (const node of group) node.links = links;
    }
    return new MergedTree(this.#root, byPath);
  }

  readonly #linked = new Set<Entry>();

  #add(entry: Entry): void {
    if (entry.path === '/') {
      this.#root.entry = this.#root.inode = entry;
      return;
    }
    const parent = this.#parent(entry, parentOf(entry.path));
    const name = baseName(entry.path);
    const children = childrenOf(parent);
    // The path differs from the member's only where a parent is a symlink of the same layer.
    const path = isParent(parent.path, entry.path) ? entry.path : joinPath(parent.path, name);
    const existing = children.get(name);
    if (entry.kind === 'dir') {
      if (existing?.kind === 'dir') existing.entry = existing.inode = entry;
      else children.set(name, directory(path, entry));
      return;
    }
    const inode = entry.kind === 'hardlink' ? this.#linkTarget(entry) : entry;
    if (existing?.inode === inode && entry.kind === 'hardlink') return; // a link to itself
    children.set(name, { path, kind: nodeKind(inode.kind), entry, inode });
  }

  #linkTarget(entry: Entry): Entry {
    const target = entry.link ?? '';
    const inode = this.#metadata.get(target) ?? this.#find(target)?.inode;
    if (!inode || inode.kind === 'dir') {
      const problem = inode ? 'is a directory' : 'does not exist';
      throw this.#error(entry, `its hardlink target ${JSON.stringify(target)} ${problem}`);
    }
    this.#linked.add(inode);
    return inode;
  }

  // As link(2) has it: parents are followed, the last component is not.
  #find(path: ImagePath): Node | undefined {
    return resolvePath(this.#root, path, { followLast: false }).node;
  }

  /** The directory at `dir`, made where it is missing. */
  #parent(entry: Entry, dir: ImagePath, followed = 0): Node {
    let node = this.#root;
    let start = 1;
    while (start < dir.length) {
      let end = dir.indexOf('/', start);
      if (end < 0) end = dir.length;
      const name = dir.slice(start, end);
      const children = childrenOf(node);
      const child = children.get(name);
      if (child?.kind === 'dir') {
        node = child;
      } else if (child?.kind === 'symlink' && child.entry.layer === this.#layer) {
        if (followed >= maximumLinks)
          throw this.#error(entry, 'its parents are a loop of symlinks');
        const target = normalizePath((child.inode.link ?? '') + dir.slice(end), node.path);
        return this.#parent(entry, target, followed + 1);
      } else if (child !== undefined && child.entry.layer === this.#layer) {
        throw this.#error(entry, `its parent ${JSON.stringify(child.path)} is no directory`);
      } else {
        const path = joinPath(node.path, name);
        const made = directory(path, synthesized(path, this.#layer));
        children.set(name, made);
        node = made;
      }
      start = end + 1;
    }
    return node;
  }

  #hide(entry: Entry): void {
    if (entry.kind === 'opaque') {
      const dir = this.#exactly(entry.path);
      if (dir?.kind === 'dir') this.#prune(dir);
      return;
    }
    const siblings = this.#exactly(parentOf(entry.path))?.children;
    const node = siblings?.get(baseName(entry.path));
    if (node && this.#hideNode(node)) siblings?.delete(baseName(entry.path));
  }

  #exactly(path: ImagePath): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of path.split('/')) if (name !== '') node = node?.children?.get(name);
    return node;
  }

  /** Hide what `node` has from lower layers; true if nothing of it is left. */
  #hideNode(node: Node): boolean {
    const own = node.entry.layer === this.#layer;
    if (node.kind !== 'dir') return !own;
    this.#prune(node);
    if (own) return false;
    if (node.children?.size === 0) return true;
    node.entry = node.inode = synthesized(node.path, this.#layer);
    return false;
  }

  #prune(dir: Node): void {
    for (const [name, child] of childrenOf(dir)) {
      if (this.#hideNode(child)) dir.children?.delete(name);
    }
  }

  #error(entry: Entry, problem: string): DebloatError {
    return new DebloatError(`${this.#where}, entry ${JSON.stringify(entry.path)}: ${problem}`, {
      hint: 'no container engine could unpack this layer either; build the image again',
    });
  }
}

class MergedTree implements Tree {
  readonly root: Node;
  readonly #byPath: ReadonlyMap<ImagePath, Node>;

  constructor(root: Node, byPath: ReadonlyMap<ImagePath, Node>) {
    this.root = root;
    this.#byPath = byPath;
  }

  get size(): number {
    return this.#byPath.size - 1;
  }

  get(path: ImagePath): Node | undefined {
    return this.#byPath.get(path);
  }

  *nodes(): Generator<Node, void, undefined> {
    let first = true;
    for (const node of this.#byPath.values()) {
      if (!first) yield node;
      first = false;
    }
  }

  resolve(path: ImagePath, options: { followLast?: boolean } = {}): { node?: Node; links: Node[] } {
    return resolvePath(this.root, path, options);
  }
}

function* sortAndWalk(dir: Node): Generator<Node, void, undefined> {
  const children = childrenOf(dir);
  const names = [...children.keys()];
  if (!isSorted(names)) {
    const sorted = names.sort(byCodeUnit).map((name) => [name, children.get(name)] as const);
    children.clear();
    for (const [name, child] of sorted) if (child) children.set(name, child);
  }
  for (const child of children.values()) {
    yield child;
    if (child.kind === 'dir') yield* sortAndWalk(child);
  }
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isSorted(names: string[]): boolean {
  for (let i = 1; i < names.length; i++) if ((names[i - 1] ?? '') > (names[i] ?? '')) return false;
  return true;
}

function directory(path: ImagePath, entry: Entry): Node {
  return { path, kind: 'dir', entry, inode: entry, children: new Map() };
}

function childrenOf(node: Node): Map<string, Node> {
  return (node.children ??= new Map<string, Node>());
}

function nodeKind(kind: EntryKind): Node['kind'] {
  if (kind === 'hardlink' || kind === 'whiteout' || kind === 'opaque') {
    throw new TypeError(`a ${kind} is no inode`);
  }
  return kind;
}

function isParent(dir: ImagePath, path: ImagePath): boolean {
  const slash = path.lastIndexOf('/');
  return dir === '/' ? slash === 0 : slash === dir.length && path.startsWith(dir);
}

function synthesized(path: ImagePath, layer: number): Entry {
  return {
    path,
    kind: 'dir',
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: 0,
    size: 0,
    layer,
    headerOffset: 0,
    dataOffset: 0,
    storedSize: 0,
    endOffset: 0,
    synthesized: true,
  };
}
