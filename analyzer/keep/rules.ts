import picomatch from 'picomatch';
import type { ImagePath } from '../image/path.js';
import type { Tree } from '../image/types.js';

/** Glob patterns of one origin: the command line, or a profile's file. */
export interface RuleSet {
  /** For reports: a profile's name; the command line's have none and say "--keep" and "--drop". */
  origin?: string;
  keep: readonly string[];
  drop: readonly string[];
}

interface Rule {
  pattern: string;
  origin: string;
  keep: boolean;
  /** Command line before profiles, then the longer literal beginning, then keep. */
  rank: readonly [number, number, number];
  matches: (path: ImagePath) => boolean;
}

/**
 * --keep and --drop, and the same from profiles. A pattern is a glob on image paths (dot files
 * included); a plain path also means everything below it. Where a keep and a drop match, the command
 * line wins over a profile, then the pattern with the longer literal beginning wins, then keep.
 */
export class PathRules {
  private readonly rules: Rule[];

  constructor(sets: readonly RuleSet[]) {
    this.rules = sets
      .flatMap(({ origin, keep, drop }) => [
        ...keep.map((pattern) => makeRule(pattern, true, origin)),
        ...drop.map((pattern) => makeRule(pattern, false, origin)),
      ])
      .sort((a, b) => b.rank[0] - a.rank[0] || b.rank[1] - a.rank[1] || b.rank[2] - a.rank[2]);
  }

  /** The rule that decides about `path`, if one does. */
  decide(path: ImagePath): { keep: boolean; pattern: string; origin: string } | undefined {
    return this.rules.find((rule) => rule.matches(path));
  }

  isDropped(path: ImagePath): boolean {
    return this.decide(path)?.keep === false;
  }

  /** Paths of the tree (directories left out) that a keep rule decides about, in tree order. */
  *kept(tree: Tree): Generator<{ path: ImagePath; pattern: string; origin: string }> {
    if (this.rules.every((rule) => !rule.keep)) return;
    for (const node of tree.nodes()) {
      if (node.kind === 'dir') continue;
      const rule = this.decide(node.path);
      if (rule?.keep === true)
        yield { path: node.path, pattern: rule.pattern, origin: rule.origin };
    }
  }

  /** The command line's patterns that match nothing in the tree: most likely a mistake. */
  unmatched(tree: Tree): { pattern: string; origin: string }[] {
    const open = new Set(this.rules.filter((rule) => rule.rank[0] === 1));
    for (const node of tree.nodes()) {
      if (open.size === 0) break;
      for (const rule of open) if (rule.matches(node.path)) open.delete(rule);
    }
    return [...open].map(({ pattern, origin }) => ({ pattern, origin }));
  }
}

function makeRule(given: string, keep: boolean, origin: string | undefined): Rule {
  const pattern = `/${given.replace(/^\/+/, '').replace(/\/+$/, '')}`;
  const literal = picomatch.scan(pattern);
  const isGlob = literal.isGlob || literal.isBrace || literal.isExtglob;
  const prefix = pattern === '/' ? '/' : `${pattern}/`;
  const expression = isGlob ? picomatch(pattern, { dot: true, nonegate: true }) : undefined;
  return {
    pattern: given,
    origin: origin ?? (keep ? '--keep' : '--drop'),
    keep,
    rank: [
      origin === undefined ? 1 : 0,
      isGlob ? literal.base.length : pattern.length,
      keep ? 1 : 0,
    ],
    matches: (path) =>
      expression === undefined ? path === pattern || path.startsWith(prefix) : expression(path),
  };
}
