import { parentOf, joinPath, baseName, normalizePath, type ImagePath } from '../../image/path.js';
import type { Tree } from '../../image/types.js';
import type { Package } from '../types.js';

/** A package with what the closure wants to know of it beyond the report's {@link Package}. */
export interface InstalledPackage extends Package {
  /** The source package that it was built from. */
  source: string;
  /** Names of packages that it depends on directly, alternatives included. */
  depends: readonly string[];
  /** Part of the base system (dpkg's Essential field). */
  essential: boolean;
}

/** Which package installed which path. */
export class PackageIndex {
  private readonly owners = new Map<ImagePath, InstalledPackage>();
  private readonly names = new Map<string, InstalledPackage>();

  constructor(readonly packages: readonly InstalledPackage[]) {
    for (const one of packages) {
      if (!this.names.has(one.name)) this.names.set(one.name, one);
      for (const path of one.files) if (!this.owners.has(path)) this.owners.set(path, one);
    }
  }

  ownerOf(path: ImagePath): InstalledPackage | undefined {
    return this.owners.get(path);
  }

  named(name: string): InstalledPackage | undefined {
    return this.names.get(name);
  }
}

/**
 * The tree's own path for one that a package database lists: databases know /bin/sh where a merged-/usr
 * tree has /usr/bin/sh. Undefined if the tree has no such path or it is a directory.
 */
export function listedPath(tree: Tree, listed: string): ImagePath | undefined {
  const path = normalizePath(listed);
  const node =
    tree.get(path) ??
    tree.get(joinPath(tree.resolve(parentOf(path)).node?.path ?? '/', baseName(path)));
  // A list says /lib, meaning a directory, where a merged-/usr tree has a symlink to one.
  if (node === undefined || tree.resolve(node.path).node?.kind === 'dir') return undefined;
  return node.path;
}

const documentation =
  /^\/usr\/(?:local\/)?share\/(?:doc|doc-base|man|info|locale|lintian|bug|help|gtk-doc|reportbug|linda)\//;

/** True for documentation and translations: files that no program needs to work. */
export function isDocumentation(path: ImagePath): boolean {
  return documentation.test(path);
}
