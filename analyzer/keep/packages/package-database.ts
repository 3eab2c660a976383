import type { ImagePath } from '../../image/path.js';
import type { Tree } from '../../image/types.js';
import type { ImageFiles } from '../image-files.js';
import type { Policy, Rewrite } from '../types.js';
import type { InstalledPackage } from './package-index.js';

/** The part of a package database that stays, made to tell the truth. */
export interface RemainingDatabase {
  /** Files of the database that stay; those that change are in `rewrites`. */
  paths: ImagePath[];
  rewrites: Rewrite[];
}

/** An image's package database as it was, and as it has to be after files have gone. */
export interface PackageDatabase {
  readonly packages: readonly InstalledPackage[];
  /**
   * The database with `remaining` packages, each with those of its files for which `isKept` holds.
   * Deterministic: the same arguments give the same bytes.
   */
  reduce(
    remaining: ReadonlySet<InstalledPackage>,
    isKept: (path: ImagePath) => boolean,
    policy: Policy,
  ): Promise<RemainingDatabase>;
}

/** Reads a kind of package database if the image has one. */
export type OpenPackageDatabase = (
  tree: Tree,
  files: ImageFiles,
) => Promise<PackageDatabase | undefined>;
