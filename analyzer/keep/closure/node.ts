import { joinPath, parentOf, type ImagePath } from '../../image/path.js';
import type { Node } from '../../image/types.js';
import { filesBelow } from '../tree-walk.js';
import { always, type ClosureContext, type ClosureRule, type Need } from './rule.js';

/** The package directory that a path is in: node_modules/x, node_modules/@scope/x, Debian's nodejs/x. */
const packageDirectory =
  /^.*(?:\/node_modules|\/usr\/share\/nodejs|\/usr\/lib\/(?:[\w-]+\/)?nodejs)\/(?!\.)(?:@[^/]+\/)?[^/@]+/;

/**
 * Node: a package of which a file was used keeps its package.json. Above strict it stays whole, and so
 * do the packages that it depends on (a require in a branch not taken), found as Node finds them, and
 * those that the application depends on.
 */
export function nodeRule(): ClosureRule {
  const handled = new Set<ImagePath>();
  return {
    name: 'Node',
    policies: always,
    async expand(node, context) {
      const dir = packageDirectory.exec(node.path)?.[0];
      const needs: Need[] = [];
      if (dir !== undefined && context.tree.get(dir)?.kind === 'dir' && !handled.has(dir)) {
        handled.add(dir);
        needs.push(...wholePackage(dir, context), ...(await dependencies(dir, context)));
      }
      if (dir === undefined && /\.[cm]?js$/.test(node.path)) {
        const root = applicationRoot(parentOf(node.path), context);
        if (root !== undefined && !handled.has(root)) {
          handled.add(root);
          needs.push({ path: joinPath(root, 'package.json'), rule: 'package.json for' });
          needs.push(...(await dependencies(root, context)));
        }
      }
      return needs;
    },
  };
}

function wholePackage(dir: ImagePath, context: ClosureContext): Need[] {
  const rule = 'in one Node package with';
  if (context.policy === 'strict') return [{ path: joinPath(dir, 'package.json'), rule }];
  const own = filesBelow(context.tree.get(dir), ({ path }) => !path.endsWith('/node_modules'));
  return [...own].filter(({ path }) => !context.isKept(path)).map(({ path }) => ({ path, rule }));
}

/** The manifests of what package.json in `dir` depends on; each then brings its own package. */
async function dependencies(dir: ImagePath, context: ClosureContext): Promise<Need[]> {
  if (context.policy === 'strict') return [];
  const manifest = context.tree.resolve(joinPath(dir, 'package.json')).node;
  const names = dependencyNames(await context.files.text(manifest, 1 << 20));
  return names
    .map((name) => resolvePackage(dir, name, context))
    .filter((path) => path !== undefined)
    .map((path) => ({ path, rule: 'dependency of the Node package in' }));
}

/** Names in package.json's dependencies, optional and peer ones included; none if it is not sound. */
export function dependencyNames(manifest: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(manifest);
  } catch {
    return [];
  }
  if (typeof value !== 'object' || value === null) return [];
  const fields = value as Record<string, unknown>;
  const names = ['dependencies', 'optionalDependencies', 'peerDependencies'].flatMap((field) => {
    const table = fields[field];
    return typeof table === 'object' && table !== null ? Object.keys(table) : [];
  });
  return [...new Set(names)].filter(
    (name) => /^(?:@[\w.~-]+\/)?[\w.~-]+$/.test(name) && !name.startsWith('.'),
  );
}

function resolvePackage(
  from: ImagePath,
  name: string,
  { tree }: ClosureContext,
): ImagePath | undefined {
  const global = ['/usr/share/nodejs', '/usr/lib/nodejs'].map((dir) => joinPath(dir, name));
  const candidates = [
    ...ancestors(from).map((dir) => joinPath(dir, `node_modules/${name}`)),
    ...global,
  ];
  return candidates
    .map((dir) => joinPath(dir, 'package.json'))
    .find((path) => tree.resolve(path).node?.kind === 'file');
}

/** The nearest directory upward that has a package.json and a node_modules. */
function applicationRoot(from: ImagePath, { tree }: ClosureContext): ImagePath | undefined {
  const has = (dir: ImagePath, name: string): Node | undefined =>
    tree.resolve(joinPath(dir, name)).node;
  return ancestors(from).find(
    (dir) => has(dir, 'package.json') !== undefined && has(dir, 'node_modules')?.kind === 'dir',
  );
}

function ancestors(path: ImagePath): ImagePath[] {
  return path === '/' ? ['/'] : [path, ...ancestors(parentOf(path))];
}
