import { joinPath, type ImagePath } from '../../image/path.js';
import { filesBelow, glob } from '../tree-walk.js';
import { always, type ClosureContext, type ClosureRule, type Need } from './rule.js';

/** …/gems/3.1.0/gems/rack-2.2.4/…: the gem home and the gem. */
const gem = /^(.*)\/gems\/([^/]+-\d[^/]*)\//;
/** The standard library: …/lib/ruby/3.1.0, without gems. */
const standardLibrary = /^(.*\/lib\/(?:[\w-]+\/)?ruby\/(?:vendor_ruby|\d+\.\d+\.\d+))\//;

/**
 * Ruby: a gem of which a file was used keeps its specification; above strict it stays whole with its
 * compiled extensions, and so does the standard library.
 */
export function rubyRule(): ClosureRule {
  const handled = new Set<ImagePath>();
  const once = (dir: ImagePath): boolean => !handled.has(dir) && handled.add(dir).has(dir);
  return {
    name: 'Ruby',
    policies: always,
    expand(node, context) {
      const [, home, name] = gem.exec(node.path) ?? [];
      if (home !== undefined && name !== undefined)
        return once(joinPath(home, name)) ? wholeGem(home, name, context) : [];
      const library = standardLibrary.exec(node.path)?.[1];
      if (library === undefined || context.policy === 'strict' || !once(library)) return [];
      return [
        ...filesBelow(context.tree.get(library), ({ path }) => !/\/(?:gems|tests?)$/.test(path)),
      ].map(({ path }) => ({ path, rule: 'standard library with' }));
    },
  };
}

function wholeGem(home: ImagePath, name: string, { tree, policy }: ClosureContext): Need[] {
  const specification = {
    path: `${home}/specifications/${name}.gemspec`,
    rule: 'gem specification for',
  };
  if (policy === 'strict') return [specification];
  const dirs = [`${home}/gems/${name}`, ...glob(tree, `${home}/extensions/*/*/${name}`)];
  const files = dirs.flatMap((dir) => [...filesBelow(tree.get(dir))]);
  return [specification, ...files.map(({ path }) => ({ path, rule: 'in one gem with' }))];
}
