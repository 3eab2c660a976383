import { baseName, joinPath, parentOf, type ImagePath } from '../../image/path.js';
import type { Node } from '../../image/types.js';
import { filesBelow, glob } from '../tree-walk.js';
import { parseShebang } from './shebang.js';
import { always, type ClosureContext, type ClosureRule, type Need } from './rule.js';

/** A path below one of Perl's library directories: the directory, and the module's path in it. */
const layout =
  /^(.*\/(?:perl-base|perl5|perl|vendor_perl|site_perl|core_perl)(?:\/5\.\d+(?:\.\d+)?)?)\/(.+)\.(?:pm|pl)$/;
const library = /\/(?:perl-base|perl5|perl|vendor_perl|site_perl|core_perl)\//;

/** @INC as Debian, Alpine, Fedora and Perl's own build have it; those that a tree has are searched. */
const includePatterns = [
  '/etc/perl',
  ...['/usr/local', '/usr'].flatMap((prefix) => [
    `${prefix}/lib/*/perl/5.*`,
    `${prefix}/share/perl/5.*`,
    `${prefix}/lib/*/perl5/5.*`,
    `${prefix}/lib/*/perl-base`,
    `${prefix}/share/perl5`,
    `${prefix}/share/perl5/*_perl`,
    `${prefix}/lib/perl5/*_perl`,
    `${prefix}/lib/perl5/5.*`,
    `${prefix}/lib/perl5/site_perl/5.*`,
    `${prefix}/lib64/perl5/*`,
    `${prefix}/lib64/perl5`,
  ]),
];

/**
 * Perl: a module stays with its compiled part (auto/X/Y/Y.so). Above strict, and where the trace shows
 * no Perl at all (a script kept for a HEALTHCHECK), so do the modules that a script or module names
 * and all modules of the interpreter's package and of used modules' packages.
 */
export function perlRule(): ClosureRule {
  const handled = new Set<string>();
  let include: ImagePath[] | undefined;
  return {
    name: 'Perl',
    policies: always,
    async expand(node, context) {
      const [, root, module] = layout.exec(node.path) ?? [];
      const needs: Need[] =
        root === undefined || module === undefined ? [] : compiledPart(root, module, context);
      const isModule = module !== undefined;
      const isInterpreter = /^perl(?:5[\d.]*)?$/.test(baseName(node.path));
      const isScript = !isModule && !isInterpreter && (await isPerlScript(node, context));
      if (!isModule && !isInterpreter && !isScript) return [];
      if (context.policy === 'strict' && wasTraced(context)) return needs;

      if (isModule || isScript) {
        include ??= includePatterns.flatMap((pattern) => glob(context.tree, pattern));
        const names = perlImports(await context.files.text(node, 1 << 20));
        needs.push(...found(names, include, context));
      }
      const owner = context.packages.ownerOf(node.path);
      const wasUsed = isInterpreter || context.trace.paths[node.path] !== undefined;
      if (!wasUsed || isScript || owner === undefined || handled.has(owner.name)) return needs;
      handled.add(owner.name);
      for (const path of owner.files)
        if (library.test(path) && !context.isKept(path))
          needs.push({ path, rule: `in the package ${owner.name} with` });
      return needs;
    },
  };
}

function compiledPart(root: ImagePath, module: string, { tree }: ClosureContext): Need[] {
  return [...filesBelow(tree.get(joinPath(root, `auto/${module}`)), () => false)]
    .filter(({ path }) => baseName(parentOf(path)) === baseName(module))
    .map(({ path }) => ({ path, rule: 'compiled part' }));
}

async function isPerlScript(node: Node, context: ClosureContext): Promise<boolean> {
  const shebang = parseShebang(await context.files.head(node));
  return /(?:^|\/)perl[\d.]*$/.test(shebang?.envProgram ?? shebang?.interpreter ?? '');
}

/** Whether the workload itself ran Perl: then the trace tells what it needs. */
function wasTraced({ trace }: ClosureContext): boolean {
  return Object.keys(trace.paths).some((path) => library.test(path) && path.endsWith('.pm'));
}

/** Modules that Perl source names in `use`, `require` and `parent`/`base` statements, as relative paths. */
export function perlImports(source: string): Set<string> {
  const modules = new Set<string>();
  const code = source.replace(/^__(?:END|DATA)__$[^]*/m, '').replace(/^=\w+[^]*?^=cut$/gm, '');
  for (const [, name, rest] of code.matchAll(
    /^[^#\n]*?\b(?:use|require)\s+([A-Za-z_][\w:]*)([^;\n]*)/gm,
  )) {
    if (name === undefined) continue;
    modules.add(`${name.replace(/::/g, '/')}.pm`);
    if (name === 'parent' || name === 'base')
      for (const [parent] of (rest ?? '')
        .replace(/\bq[qw]?\b|-norequire/g, ' ')
        .matchAll(/[A-Za-z_]\w*(?:::\w+)*/g))
        modules.add(`${parent.replace(/::/g, '/')}.pm`);
  }
  return modules;
}

function found(
  names: Iterable<string>,
  include: readonly ImagePath[],
  { tree }: ClosureContext,
): Need[] {
  const needs: Need[] = [];
  for (const name of names) {
    const path = include
      .map((dir) => joinPath(dir, name))
      .find((one) => tree.resolve(one).node !== undefined);
    if (path !== undefined) needs.push({ path, rule: `Perl module ${name} named in` });
  }
  return needs;
}
