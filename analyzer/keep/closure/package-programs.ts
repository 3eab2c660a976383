import { parentOf, type ImagePath } from '../../image/path.js';
import type { Node } from '../../image/types.js';
import type { InstalledPackage } from '../packages/package-index.js';
import { isDocumentation } from '../packages/package-index.js';
import { isAffordable } from './plugins.js';
import { notStrict, type ClosureContext, type ClosureRule, type Need } from './rule.js';

const programDirectory = /\/s?bin$/;

/** For whoever builds against a package, not for whoever runs it. */
const developerFiles =
  /^\/usr\/(?:include|src)\/|\.(?:a|la|h|pc|bc)$|\/(?:bitcode|pkgconfig|systemd|init\.d)\//;

/**
 * What belongs to a program that was run. Its package stays whole but for documentation (extensions'
 * scripts, error messages, character sets). Of packages built from the same source, and of direct
 * dependencies named alike (postgresql-15 → postgresql-client-15), the programs stay: redis-cli,
 * pg_dump. Programs of the base system (Essential) and interpreters bring nothing along.
 */
export function packageProgramsRule(): ClosureRule {
  const judged = new Map<ImagePath, boolean>();
  const fits = async (node: Node, context: ClosureContext): Promise<boolean> => {
    const known = judged.get(node.path) ?? (await isAffordable(node, context));
    judged.set(node.path, known);
    return known;
  };
  return {
    name: 'package programs',
    policies: notStrict,
    async settle(context) {
      const needs: Required<Need>[] = [];
      for (const [one, { program, whole }] of relatedPackages(context))
        for (const path of one.files) {
          const node = context.tree.get(path);
          if (node === undefined || context.isKept(path)) continue;
          if (!(whole && isRuntimeData(path)) && !isProgram(context, node)) continue;
          if (await fits(node, context))
            needs.push({
              path,
              rule: `of the package ${one.name}, as is`,
              because: program,
            });
        }
      for (const [dir, program] of unownedProgramDirectories(context))
        for (const node of context.tree.get(dir)?.children?.values() ?? []) {
          if (context.isKept(node.path) || context.packages.ownerOf(node.path) !== undefined)
            continue;
          const file = context.tree.resolve(node.path).node;
          if (file?.kind !== 'file' || (await context.files.elf(file)) === undefined) continue;
          if (await fits(node, context))
            needs.push({ path: node.path, rule: 'program beside', because: program });
        }
      return needs;
    },
  };
}

function isRuntimeData(path: ImagePath): boolean {
  return !isDocumentation(path) && !developerFiles.test(path);
}

interface Relation {
  /** What was run. */
  program: ImagePath;
  /** Whether the package is the program's own. */
  whole: boolean;
}

/** Packages whose programs belong to something that was run. */
function relatedPackages(context: ClosureContext): Map<InstalledPackage, Relation> {
  const related = new Map<InstalledPackage, Relation>();
  for (const program of executed(context)) {
    const owner = context.packages.ownerOf(program);
    if (owner === undefined || owner.essential || isInterpreter(owner)) continue;
    const stem = stemOf(owner.name);
    for (const one of context.packages.packages) {
      const sameSource = one.source === owner.source;
      const dependency = owner.depends.includes(one.name) && stemOf(one.name) === stem;
      const whole = one === owner;
      if (one.essential || !(whole || sameSource || dependency)) continue;
      if (!related.has(one) || (whole && related.get(one)?.whole === false))
        related.set(one, { program, whole });
    }
  }
  return related;
}

/** Directories such as /usr/local/bin from which a program that no package owns was run. */
function unownedProgramDirectories(context: ClosureContext): Map<ImagePath, ImagePath> {
  const dirs = new Map<ImagePath, ImagePath>();
  for (const program of executed(context)) {
    const dir = parentOf(program);
    if (
      programDirectory.test(dir) &&
      context.packages.ownerOf(program) === undefined &&
      !dirs.has(dir)
    )
      dirs.set(dir, program);
  }
  return dirs;
}

function executed({ trace, tree }: ClosureContext): ImagePath[] {
  return Object.entries(trace.paths)
    .filter(([path, { access }]) => access.exec !== undefined && tree.get(path)?.kind === 'file')
    .map(([path]) => path)
    .sort();
}

function isProgram({ tree }: ClosureContext, node: Node): boolean {
  const file = tree.resolve(node.path).node;
  return (
    file?.kind === 'file' &&
    (file.inode.mode & 0o111) !== 0 &&
    programDirectory.test(parentOf(node.path)) &&
    !isDocumentation(node.path)
  );
}

/** Compilers and interpreters bring development tools, not the application's; their libraries have rules. */
function isInterpreter({ source }: InstalledPackage): boolean {
  return /^(?:python3|perl|ruby|nodejs|gcc|binutils|bash|dash|glibc|util-linux|coreutils)[\d.-]*(?:-defaults)?$/.test(
    source,
  );
}

/** "postgresql-client-15" and "postgresql-15" have the stem "postgresql". */
function stemOf(name: string): string {
  return /^[a-z]{4,}/.exec(name)?.[0] ?? name;
}
