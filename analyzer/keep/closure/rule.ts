import type { ImagePath } from '../../image/path.js';
import type { Node, Tree } from '../../image/types.js';
import type { Trace } from '../../trace/types.js';
import type { Environment } from '../environment.js';
import type { ImageFiles } from '../image-files.js';
import type { Loader } from '../loader.js';
import type { PackageIndex } from '../packages/package-index.js';
import type { Policy, Reason } from '../types.js';

/** A path that has to stay because another one does; symlinks on the way stay too. */
export interface Need {
  path: ImagePath;
  /** How it is needed ("DT_NEEDED libc.so.6", "#! interpreter", …). */
  rule: string;
  /** Where it is not the node at hand that needs it. */
  because?: ImagePath;
}

/** A path that has to stay whatever else does. */
export interface Seed {
  path: ImagePath;
  reason: Reason;
}

/** What a rule may look at; all of it is read-only. */
export interface ClosureContext {
  readonly tree: Tree;
  readonly trace: Trace;
  readonly policy: Policy;
  readonly environment: Environment;
  readonly files: ImageFiles;
  readonly loader: Loader;
  readonly packages: PackageIndex;
  isKept(path: ImagePath): boolean;
  reasonOf(path: ImagePath): Reason | undefined;
  /** All paths under which `node` was asked for, its own first. */
  namesOf(node: Node): ImagePath[];
  /** Tell the user one sentence. */
  warn(sentence: string): void;
}

/**
 * One way in which files hang together. A rule is made anew for each keep set, so it may cache.
 * Whatever it answers must follow from the context alone: the result may not depend on chance.
 */
export interface ClosureRule {
  readonly name: string;
  readonly policies: readonly Policy[];
  /** Called once, before anything else. */
  seeds?(context: ClosureContext): Seed[] | Promise<Seed[]>;
  /** Called once for each kept node that is no directory: what it needs. */
  expand?(node: Node, context: ClosureContext): Need[] | Promise<Need[]>;
  /** Called whenever all nodes are expanded: what the keep set as a whole needs. */
  settle?(context: ClosureContext): Required<Need>[] | Promise<Required<Need>[]>;
}

export const always: readonly Policy[] = ['strict', 'balanced', 'safe'];
export const notStrict: readonly Policy[] = ['balanced', 'safe'];
