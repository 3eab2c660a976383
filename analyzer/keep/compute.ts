import type { Image } from '../image/types.js';
import type { AccessKind, Trace, TracedPath } from '../trace/types.js';
import { keepCheap, keepEssentials } from './cheap.js';
import { closureRules } from './closure/index.js';
import { readEnvironment } from './environment.js';
import { ImageFiles } from './image-files.js';
import { Keeper } from './keeper.js';
import { Loader } from './loader.js';
import { PackageIndex } from './packages/package-index.js';
import { keepPackageTruth, openPackageDatabases } from './packages/truth.js';
import { PathRules, type RuleSet } from './rules.js';
import type { KeepSet, Package, Policy, Rewrite } from './types.js';

export interface KeepOptions {
  policy: Policy;
  /** Glob patterns on image paths; see {@link PathRules}. */
  keep?: readonly string[];
  drop?: readonly string[];
  /** The same from a profile, `origin` being its name. */
  profileRules?: RuleSet;
}

export interface KeepResult {
  keepSet: KeepSet;
  packages: { before: Package[]; after: Package[] };
  rewrites: Rewrite[];
  /** Whole sentences for the user. */
  warnings: string[];
}

/** The use that says most about why a path is needed comes first. */
const byWeight: readonly AccessKind[] = [
  ...(['exec', 'open', 'write', 'change', 'list', 'chdir', 'readlink', 'link', 'stat'] as const),
];

/**
 * The paths of `image` that stay: what `trace` shows in use, what that needs by the closure rules of
 * the policy, what the user asks for, and what costs next to nothing. Reads the image by ranges only.
 * Deterministic: depends on nothing but its arguments.
 */
export async function computeKeepSet(
  image: Pick<Image, 'tree' | 'config' | 'readRange'>,
  trace: Trace,
  { policy, keep = [], drop = [], profileRules }: KeepOptions,
): Promise<KeepResult> {
  const { tree } = image;
  const warnings = new Set<string>();
  const files = new ImageFiles(image);
  const environment = readEnvironment(image.config.value.config);
  const rules = new PathRules([
    { keep, drop },
    ...(profileRules === undefined ? [] : [profileRules]),
  ]);
  const databases = await openPackageDatabases(tree, files);
  const context = {
    tree,
    trace: inPathOrder(trace),
    policy,
    environment,
    files,
    loader: new Loader(tree, files, environment),
    packages: new PackageIndex(databases.flatMap((database) => database.packages)),
    warn: (sentence: string) => void warnings.add(sentence),
  };
  const keeper = new Keeper(context, closureRules(), (path) => rules.isDropped(path));

  for (const { pattern, origin } of rules.unmatched(tree))
    warnings.add(`${origin} '${pattern}' matches nothing in the image.`);
  keepTraced(keeper);
  for (const { path, ...rule } of rules.kept(tree)) keeper.keep(path, { kind: 'rule', ...rule });
  keepEssentials(keeper);
  await keeper.grow();
  keepCheap(keeper);
  const { before, after, rewrites } = await keepPackageTruth(databases, keeper);
  keepCheap(keeper); // symlinks to what the package databases just added

  for (const sentence of droppedInUse(keeper)) warnings.add(sentence);
  return {
    keepSet: { policy, reasons: keeper.reasons, dropped: keeper.refused },
    packages: { before, after },
    rewrites,
    warnings: [...warnings],
  };
}

/**
 * Keep what the workload used of the image. What it made itself is not in the tree and so cannot get
 * in. A file that was only looked up stays, at strict without what it would need to be run or loaded.
 */
function keepTraced(keeper: Keeper): void {
  for (const path of Object.keys(keeper.trace.paths)) {
    const access: TracedPath['access'] = keeper.trace.paths[path]?.access ?? {};
    const kind = byWeight.find((one) => access[one] !== undefined);
    if (kind === undefined) continue;
    const reason = { kind: 'traced', access: kind, by: access[kind] ?? '' } as const;
    const node = keeper.tree.get(path);
    const expand = kind !== 'stat' || keeper.policy !== 'strict';
    if (node !== undefined) keeper.add(node, reason, { expand });
    else keeper.keep(path, reason);
  }
}

/** The trace with its paths sorted, so that no reason depends on the order in which they were seen. */
function inPathOrder(trace: Trace): Trace {
  const paths = Object.entries(trace.paths).sort(([a], [b]) => (a < b ? -1 : 1));
  return { ...trace, paths: Object.fromEntries(paths) };
}

/** Sentences about dropped paths that the workload used. */
function droppedInUse(keeper: Keeper): string[] {
  const used = [...keeper.refused]
    .filter(([, reason]) => reason.kind === 'traced')
    .map(([path]) => path)
    .sort();
  if (used.length === 0) return [];
  const shown = used.slice(0, 3).join(', ');
  const more = used.length > 3 ? ` and ${used.length - 3} more` : '';
  return [`--drop removes paths that the workload used: ${shown}${more}.`];
}
