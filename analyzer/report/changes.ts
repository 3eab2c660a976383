import type { KeepSet, Package, Reason } from '../keep/types.js';
import type { Image } from '../image/types.js';
import type { Report } from './model.js';
import { filesOf, staysIn, type Usage } from './usage.js';

/** What went: totals, biggest files, and directories such that each removed file is in one of them. */
export function listRemoved(root: Usage): Report['removed'] {
  const files = [...filesOf(root)].filter((file) => file.removedFiles > 0);
  return {
    files: root.removedFiles,
    bytes: root.removed,
    biggestFiles: files
      .map(({ path, removed }) => ({ path, bytes: removed }))
      .sort(biggestFirst)
      .slice(0, 5000),
    biggestDirectories: [...removedDirectories(root)].sort(biggestFirst).slice(0, 50),
  };
}

function* removedDirectories(
  directory: Usage,
): Iterable<Report['removed']['biggestDirectories'][number]> {
  if (directory.removedFiles === 0) return;
  const { path } = directory;
  if (directory.keptFiles === 0) {
    yield { path, files: directory.removedFiles, bytes: directory.removed, whole: true };
    return;
  }
  const direct = { path, files: 0, bytes: 0, whole: false };
  for (const child of directory.children ?? []) {
    if (child.children) {
      yield* removedDirectories(child);
    } else {
      direct.files += child.removedFiles;
      direct.bytes += child.removed;
    }
  }
  if (direct.files > 0) yield direct;
}

/** What stays: totals, biggest files with their reasons, and bytes by reason. */
export function listKept(
  root: Usage,
  describeReason: (reason: Reason) => string,
): Omit<Report['kept'], 'rewritten'> {
  const files = [...filesOf(root)].filter((file) => file.keptFiles > 0);
  return {
    files: root.keptFiles,
    bytes: root.kept,
    biggestFiles: files
      .map((file) => ({ path: file.path, bytes: file.kept, why: file.reason }))
      .sort(biggestFirst)
      .slice(0, 200)
      .map(({ path, bytes, why }) => ({
        path,
        bytes,
        reason: why ? describeReason(why) : 'another name of a kept file',
      })),
    byReason: sumByReason(files),
  };
}

function sumByReason(files: Usage[]): Report['kept']['byReason'] {
  type Sum = { files: number; bytes: number; details: Map<string, Detail> };
  type Detail = { name: string; files: number; bytes: number };
  const kinds = new Map<Reason['kind'], Sum>();
  for (const file of files) {
    if (!file.reason) continue;
    const { kind } = file.reason;
    const sum = kinds.get(kind) ?? { files: 0, bytes: 0, details: new Map<string, Detail>() };
    kinds.set(kind, sum);
    const name = detailOf(file.reason);
    const detail = sum.details.get(name) ?? { name, files: 0, bytes: 0 };
    sum.details.set(name, detail);
    for (const total of [sum, detail]) {
      total.files += 1;
      total.bytes += file.kept;
    }
  }
  return [...kinds]
    .map(([kind, { files: number, bytes, details }]) => ({
      kind,
      files: number,
      bytes,
      details: [...details.values()].sort(biggestFirst).slice(0, 20),
    }))
    .sort(biggestFirst);
}

function detailOf(reason: Reason): string {
  switch (reason.kind) {
    case 'traced':
      return reason.access;
    case 'closure':
      return reason.rule
        .replace(/^DT_NEEDED .*/, 'DT_NEEDED library')
        .replace(/^command \S+ in/, 'command in');
    case 'rule':
      return reason.origin;
    case 'cheap':
      return reason.what
        .replace(/ of the package .*/, ' of a package')
        .replace(/^another name of .*/, 'another name of a kept file');
  }
}

/** Packages that have nothing left, with the bytes that went with each. */
export function listPackages(
  image: Image,
  keep: KeepSet,
  packages: { before: readonly Package[]; after: readonly Package[] },
): Report['packages'] {
  const left = new Set(packages.after.map(identityOf));
  const removed = packages.before
    .filter((item) => !left.has(identityOf(item)))
    .map((item) => ({
      manager: item.manager,
      name: item.name,
      version: item.version,
      ...(item.architecture === undefined ? {} : { architecture: item.architecture }),
      bytes: item.files.reduce((sum, path) => sum + removedBytes(image, keep, path), 0),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return { before: packages.before.length, after: packages.after.length, removed };
}

function identityOf(item: Package): string {
  return JSON.stringify([item.manager, item.name, item.architecture, item.version]);
}

function removedBytes(image: Image, keep: KeepSet, path: string): number {
  const node = image.tree.get(path);
  if (node?.kind !== 'file' || staysIn(keep, node)) return 0;
  return node.links && node.links[0] !== path ? 0 : node.inode.size;
}

// Ties in path order, so that the same build gives the same report.
function biggestFirst(
  a: { bytes: number; path?: string },
  b: { bytes: number; path?: string },
): number {
  return b.bytes - a.bytes || ((a.path ?? '') < (b.path ?? '') ? -1 : 1);
}
