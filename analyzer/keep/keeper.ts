import type { ImagePath } from '../image/path.js';
import type { Node } from '../image/types.js';
import type { ClosureContext, ClosureRule } from './closure/rule.js';
import type { Reason } from './types.js';

/** What the keeper is made from; the methods that tell about the keep set itself are its own. */
export type KeeperContext = Omit<ClosureContext, 'isKept' | 'reasonOf' | 'namesOf'>;

/** Grows the set of kept nodes until no closure rule has anything to add. */
export class Keeper implements ClosureContext {
  readonly reasons = new Map<ImagePath, Reason>();
  /** Paths that were refused because of a --drop, each with the reason it would have stayed for. */
  readonly refused = new Map<ImagePath, Reason>();
  private readonly aliases = new Map<ImagePath, Set<ImagePath>>();
  private readonly queue: Node[] = [];
  private readonly queued = new Set<Node>();

  readonly tree;
  readonly trace;
  readonly policy;
  readonly environment;
  readonly files;
  readonly loader;
  readonly packages;
  readonly warn;
  private readonly rules: readonly ClosureRule[];

  constructor(
    context: KeeperContext,
    rules: readonly ClosureRule[],
    private readonly isDropped: (path: ImagePath) => boolean,
  ) {
    ({
      tree: this.tree,
      trace: this.trace,
      policy: this.policy,
      environment: this.environment,
      files: this.files,
      loader: this.loader,
      packages: this.packages,
      warn: this.warn,
    } = context);
    this.rules = rules.filter((rule) => rule.policies.includes(this.policy));
  }

  isKept(path: ImagePath): boolean {
    return this.reasons.has(path);
  }

  reasonOf(path: ImagePath): Reason | undefined {
    return this.reasons.get(path);
  }

  namesOf(node: Node): ImagePath[] {
    return [...new Set([node.path, ...(node.links ?? []), ...(this.aliases.get(node.path) ?? [])])];
  }

  /** Keep what `path` leads to, and each symlink on the way to it. True if any of it is new. */
  keep(path: ImagePath, reason: Reason): boolean {
    const { node, links } = this.tree.resolve(path);
    let added = false;
    let previous: ImagePath | undefined;
    for (const link of links) {
      // A symlink to a directory stays anyway and says nothing about why this file does.
      if (this.tree.resolve(link.path).node?.kind === 'dir') continue;
      added = this.add(link, previous === undefined ? reason : targetOf(previous)) || added;
      previous = link.path;
    }
    if (node === undefined) return added;
    if (path !== node.path) this.addAlias(node.path, path);
    return this.add(node, previous === undefined ? reason : targetOf(previous)) || added;
  }

  /** Keep exactly `node`, and the other names of its inode. True if it is new. */
  add(node: Node, reason: Reason, { expand = true } = {}): boolean {
    if (this.reasons.has(node.path)) {
      // A file that was only looked up so far may now have to be loaded as well.
      if (expand) this.enqueue(node);
      return false;
    }
    if (node.kind !== 'dir' && this.isDropped(node.path)) {
      if (!this.refused.has(node.path)) this.refused.set(node.path, reason);
      return false;
    }
    this.reasons.set(node.path, reason);
    if (expand) this.enqueue(node);
    for (const other of node.links ?? [])
      if (!this.reasons.has(other))
        this.reasons.set(other, { kind: 'cheap', what: `another name of ${node.path}` });
    return true;
  }

  /** Ask the rules for their seeds, then expand to the fixed point. */
  async grow(): Promise<void> {
    for (const rule of this.rules)
      for (const { path, reason } of (await rule.seeds?.(this)) ?? []) this.keep(path, reason);
    do await this.drain();
    while (await this.settle());
  }

  private async drain(): Promise<void> {
    for (let node = this.queue.shift(); node !== undefined; node = this.queue.shift())
      for (const rule of this.rules)
        for (const { path, rule: how, because = node.path } of (await rule.expand?.(node, this)) ??
          [])
          this.keep(path, { kind: 'closure', rule: how, because });
  }

  /** Later rules see what earlier ones led to, so the first that adds something ends the round. */
  private async settle(): Promise<boolean> {
    for (const rule of this.rules) {
      let added = false;
      for (const { path, rule: how, because } of (await rule.settle?.(this)) ?? [])
        added = this.keep(path, { kind: 'closure', rule: how, because }) || added;
      if (added) return true;
    }
    return false;
  }

  private enqueue(node: Node): void {
    if (node.kind === 'dir' || this.queued.has(node)) return;
    this.queued.add(node);
    this.queue.push(node);
  }

  private addAlias(path: ImagePath, alias: ImagePath): void {
    const known = this.aliases.get(path);
    if (known === undefined) this.aliases.set(path, new Set([alias]));
    else known.add(alias);
  }
}

function targetOf(link: ImagePath): Reason {
  return { kind: 'closure', rule: 'target of the symlink', because: link };
}
