import { baseName, joinPath, parentOf, type ImagePath } from '../../image/path.js';
import type { Node } from '../../image/types.js';
import { filesBelow } from '../tree-walk.js';
import { distributionsOf, type Distribution } from './python-distributions.js';
import { always, type ClosureContext, type ClosureRule, type Need } from './rule.js';

/** A path below a Python library directory, split: which one, standard library or site, first component. */
const layout =
  /^(.*\/(?:lib|lib64)\/(?:python3?(?:\.\d+)?|pypy3[\d.]*))(\/(?:site|dist)-packages)?\/([^/]+)/;

/** Parts of the standard library that no application imports: its own tests, tools for development. */
const developerParts =
  /^(?:test|idlelib|turtledemo|ensurepip|tkinter|config-.*|lib2to3|pydoc_data|turtle\.py)$/;
const testDirectory = /^(?:tests?|idle_test)$/;

/**
 * Python (3): a module stays with its source or compiled form and its distribution's metadata. Imports
 * differ between runs, so above strict a package of which a module was used stays whole, and so does
 * the standard library but for tests and development tools.
 */
export function pythonRule(): ClosureRule {
  const handled = new Set<string>();
  const distributions = new Map<ImagePath, Promise<Map<string, Distribution[]>>>();
  return {
    name: 'Python',
    policies: always,
    async expand(node, context) {
      const [, library, site, part] = layout.exec(node.path) ?? [];
      if (/^python3\.\d+$/.test(baseName(node.path)))
        return standardLibrary(interpreterLibrary(node.path), context, handled);
      if (library === undefined || part === undefined) return [];
      const needs = compiledTwin(node, context);
      const root = `${library}${site ?? ''}`;
      if (part === 'site-packages' || part === 'dist-packages') return needs;
      if (part === '__pycache__' || /\.(?:py|pth|so|egg-link)$/.test(part)) {
        if (site === undefined) needs.push(...standardLibrary(root, context, handled));
        else needs.push(...(await metadata(root, moduleName(baseName(node.path)), context)));
        return needs;
      }
      if (site === undefined) needs.push(...standardLibrary(root, context, handled));
      if (handled.has(`${root}/${part}`)) return needs;
      handled.add(`${root}/${part}`);
      if (isMetadata(part)) return needs;
      if (site === undefined && (developerParts.test(part) || part === 'lib-dynload')) return needs;
      if (context.policy !== 'strict') needs.push(...wholePackage(joinPath(root, part), context));
      if (site !== undefined) needs.push(...(await metadata(root, part, context)));
      return needs;
    },
  };

  async function metadata(
    root: ImagePath,
    module: string,
    context: ClosureContext,
  ): Promise<Need[]> {
    let known = distributions.get(root);
    if (known === undefined) {
      known = distributionsOf(context.tree.get(root), context.files);
      distributions.set(root, known);
    }
    return ((await known).get(module) ?? []).flatMap(({ paths }) =>
      paths.map((path) => ({ path, rule: `Python metadata for ${module}, as of` })),
    );
  }
}

function wholePackage(dir: ImagePath, context: ClosureContext): Need[] {
  return [...filesBelow(context.tree.get(dir))]
    .filter(({ path }) => !context.isKept(path))
    .map(({ path }) => ({ path, rule: 'in one Python package with' }));
}

/** /usr/lib/python3.11 for /usr/bin/python3.11. */
function interpreterLibrary(program: ImagePath): ImagePath {
  return joinPath(parentOf(parentOf(program)), `lib/${baseName(program)}`);
}

/** Whether the workload itself ran Python: then strict keeps what the trace shows. */
function wasTraced(root: ImagePath, { trace }: ClosureContext): boolean {
  return Object.keys(trace.paths).some((path) => path.startsWith(`${root}/`));
}

function standardLibrary(root: ImagePath, context: ClosureContext, handled: Set<string>): Need[] {
  if (handled.has(root) || (context.policy === 'strict' && wasTraced(root, context))) return [];
  handled.add(root);
  const isPart = (child: Node): boolean => {
    const name = baseName(child.path);
    if (testDirectory.test(name)) return false;
    return (
      parentOf(child.path) !== root ||
      !(developerParts.test(name) || /^(?:site|dist)-packages$/.test(name))
    );
  };
  return [...filesBelow(context.tree.get(root), isPart)]
    .filter((child) => !developerParts.test(baseName(child.path)) && !context.isKept(child.path))
    .map(({ path }) => ({ path, rule: 'standard library with' }));
}

/** `x.py` and `__pycache__/x.cpython-311.pyc` stay together: without the one the other is slow or dead. */
function compiledTwin(node: Node, context: ClosureContext): Need[] {
  const dir = parentOf(node.path);
  const name = baseName(node.path);
  if (name.endsWith('.py')) {
    const prefix = `${name.slice(0, -3)}.`;
    return [...(context.tree.get(joinPath(dir, '__pycache__'))?.children?.values() ?? [])]
      .filter(({ path }) => baseName(path).startsWith(prefix))
      .map(({ path }) => ({ path, rule: 'compiled form' }));
  }
  if (baseName(dir) !== '__pycache__') return [];
  return [{ path: joinPath(parentOf(dir), `${moduleName(name)}.py`), rule: 'source' }];
}

/** "x" of x.py, x.cpython-311.pyc, x.cpython-311-x86_64-linux-gnu.so, x.abi3.so. */
function moduleName(file: string): string {
  return file.replace(/\..*$/, '');
}

function isMetadata(part: string): boolean {
  return /\.(?:dist|egg)-info$/.test(part);
}
