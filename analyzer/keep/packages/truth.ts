import type { Tree } from '../../image/types.js';
import type { ImageFiles } from '../image-files.js';
import type { Keeper } from '../keeper.js';
import type { Package, Rewrite } from '../types.js';
import { openApk } from './apk.js';
import { openDpkg } from './dpkg.js';
import type { PackageDatabase } from './package-database.js';
import { isDocumentation, type InstalledPackage } from './package-index.js';
import { rpmDatabaseFiles } from './rpm.js';

/** Every package database of the image that can be read. */
export async function openPackageDatabases(
  tree: Tree,
  files: ImageFiles,
): Promise<PackageDatabase[]> {
  const databases = await Promise.all([openDpkg(tree, files), openApk(tree, files)]);
  return databases.filter((database) => database !== undefined);
}

/**
 * Make the package databases tell the truth about what `keeper` keeps. A package remains while one
 * regular, non-empty file of it does that is no documentation, or a symlink that something uses. Keeps the databases' files and, above
 * strict, the copyright file of each remaining package (licence scanners read it, licences ask for it).
 */
export async function keepPackageTruth(
  databases: readonly PackageDatabase[],
  keeper: Keeper,
): Promise<{ before: Package[]; after: Package[]; rewrites: Rewrite[] }> {
  const { tree, policy } = keeper;
  const before: Package[] = [];
  const after: Package[] = [];
  const rewrites: Rewrite[] = [];
  for (const database of databases) {
    const remaining = new Set(database.packages.filter((one) => hasFilesLeft(one, keeper)));
    if (policy !== 'strict') keepCopyrights(remaining, keeper);
    before.push(...database.packages.map(publicPart));
    after.push(...[...remaining].map(publicPart));
    const reduced = await database.reduce(remaining, (path) => keeper.isKept(path), policy);
    for (const path of reduced.paths) keepDatabaseFile(path, keeper);
    rewrites.push(...reduced.rewrites.filter(({ path }) => keeper.isKept(path)));
  }
  const rpm = rpmDatabaseFiles(tree);
  for (const path of rpm) keepDatabaseFile(path, keeper);
  if (rpm.length > 0)
    keeper.warn(
      'The rpm database is left as it is and still lists every package of the source image.',
    );
  return { before, after, rewrites };
}

function hasFilesLeft(one: InstalledPackage, keeper: Keeper): boolean {
  return one.files.some((path) => {
    if (isDocumentation(path) || !keeper.isKept(path)) return false;
    const node = keeper.tree.get(path);
    if (node?.kind === 'symlink') return keeper.reasonOf(path)?.kind !== 'cheap';
    return node?.kind === 'file' && node.inode.size > 0;
  });
}

function keepCopyrights(packages: ReadonlySet<InstalledPackage>, keeper: Keeper): void {
  for (const { name } of packages)
    keeper.keep(`/usr/share/doc/${name}/copyright`, {
      kind: 'cheap',
      what: `copyright of the package ${name}`,
    });
}

function keepDatabaseFile(path: string, keeper: Keeper): void {
  const node = keeper.tree.get(path);
  if (node !== undefined)
    keeper.add(node, { kind: 'cheap', what: 'package database' }, { expand: false });
}

function publicPart({ manager, name, version, architecture, files }: InstalledPackage): Package {
  return {
    manager,
    name,
    version,
    ...(architecture === undefined ? {} : { architecture }),
    files: [...files],
  };
}
