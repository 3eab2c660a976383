import { baseName, parentOf, type ImagePath } from '../../image/path.js';
import type { Node } from '../../image/types.js';
import { findProgram } from '../tree-walk.js';
import type { ClosureContext, ClosureRule, Need } from './rule.js';
import { parseShebang } from './shebang.js';

/** A plugin that would bring in more than this is left out, as programs cope with a missing plugin. */
export const maxPluginBytes = 24 << 20;

/** Directories of plain libraries: a neighbour there is no plugin. */
const libraryDirectory =
  /^\/(?:usr\/(?:local\/)?)?lib(?:32|64|x32)?(?:\/[\w.-]+-linux-(?:gnu|musl)\w*)?$|\/(?:gconv|glibc-hwcaps|perl-base|security|lib-dynload|site-packages|dist-packages|node_modules)(?:\/|$)/;

/**
 * A shared object opened from a directory of its own is a plugin, and its neighbours are the plugins
 * that another configuration opens: web server modules, database extensions, image coders.
 */
export function pluginsRule(): ClosureRule {
  const judged = new Map<ImagePath, boolean>();
  return {
    name: 'plugins',
    policies: ['balanced', 'safe'],
    async settle(context) {
      const needs: Required<Need>[] = [];
      for (const [dir, opened] of pluginDirectories(context)) {
        for (const node of context.tree.get(dir)?.children?.values() ?? []) {
          if (context.isKept(node.path) || !isSharedObject(node)) continue;
          let fits = judged.get(node.path);
          if (fits === undefined) {
            fits = await isAffordable(node, context);
            judged.set(node.path, fits);
          }
          if (fits) needs.push({ path: node.path, rule: 'plugin beside', because: opened });
        }
      }
      return needs;
    },
  };
}

/** Plugin directories, each with the plugin that the workload opened from it. */
function pluginDirectories(context: ClosureContext): Map<ImagePath, ImagePath> {
  const dirs = new Map<ImagePath, ImagePath>();
  for (const [path, { access }] of Object.entries(context.trace.paths)) {
    if (access.open === undefined || !/\.so$/.test(path)) continue;
    const dir = parentOf(path);
    if (!libraryDirectory.test(dir) && !dirs.has(dir) && context.isKept(path)) dirs.set(dir, path);
  }
  return dirs;
}

function isSharedObject(node: Node): boolean {
  return node.kind !== 'dir' && /\.so$/.test(baseName(node.path));
}

/** The interpreter of a script if nothing else keeps any of its package and it is not of the base system. */
async function foreignInterpreter(
  file: Node,
  context: ClosureContext,
): Promise<ImagePath | undefined> {
  const shebang = parseShebang(await context.files.head(file));
  if (shebang === undefined || (file.inode.mode & 0o111) === 0) return undefined;
  const { path } = context.environment;
  const program = findProgram(context.tree, path, shebang.envProgram ?? shebang.interpreter);
  const node = program === undefined ? undefined : context.tree.resolve(program).node;
  if (node === undefined || context.isKept(node.path)) return undefined;
  const owner = context.packages.ownerOf(node.path);
  const isAtHand = owner?.essential === true || owner?.files.some((one) => context.isKept(one));
  return isAtHand === true ? undefined : program;
}

/**
 * Whether `node` and the libraries that only it needs are within {@link maxPluginBytes}; tells the user
 * if they are not. The libraries that are kept already cost nothing.
 */
export async function isAffordable(node: Node, context: ClosureContext): Promise<boolean> {
  const file = context.tree.resolve(node.path).node;
  if (file === undefined) return false;
  const interpreter = await foreignInterpreter(file, context);
  if (interpreter !== undefined && context.policy !== 'safe') {
    context.warn(
      `${node.path} was not used and is left out, as it would bring in ${interpreter}; --keep '${node.path}' keeps it.`,
    );
    return false;
  }
  let bytes = 0;
  let largest: Node = file;
  for (const one of await context.loader.closure(file)) {
    if (context.isKept(one.path)) continue;
    bytes += one.inode.size;
    if (one.inode.size > largest.inode.size) largest = one;
  }
  if (bytes <= maxPluginBytes || context.policy === 'safe') return true;
  context.warn(
    `${node.path} was not used and is left out, as it would bring in ${Math.round(bytes / 1e6)} MB` +
      `${largest === file ? '' : ` (${largest.path})`}; --keep '${node.path}' keeps it.`,
  );
  return false;
}
