import type { ImagePath } from '../../image/path.js';
import type { Node } from '../../image/types.js';
import { findProgram } from '../tree-walk.js';
import { parseShebang } from './shebang.js';
import { shellWords } from './shell-words.js';
import { notStrict, type ClosureContext, type ClosureRule, type Need } from './rule.js';

const shells = /(?:^|\/)(?:sh|bash|dash|ash|ksh|zsh|busybox)$/;
const maxNamedFile = 64 << 10;

/**
 * A shell script that was run stays with the commands it names: the branch that no run took wants its
 * `chown` too. Scripts that stay for another reason (a package's other programs) are left alone, as
 * they would drag in half of the base system.
 */
export function scriptCommandsRule(): ClosureRule {
  const followed = new Set<ImagePath>();
  return {
    name: 'script commands',
    policies: notStrict,
    async expand(node, context) {
      if (!followed.has(node.path) && !wasRun(node, context)) return [];
      const shebang = parseShebang(await context.files.head(node));
      const isScript = shells.test(shebang?.envProgram ?? shebang?.interpreter ?? '');
      if (!isScript && !(shebang === undefined && /\.sh$/.test(node.path))) return [];
      const { commands, paths } = shellWords(await context.files.text(node, 1 << 20));
      const { tree, environment } = context;
      const needs: Need[] = [];
      for (const command of commands) {
        const path = findProgram(tree, environment.path, command, environment.workingDirectory);
        if (path !== undefined) needs.push({ path, rule: `command ${command} in the script` });
      }
      for (const path of paths) {
        const target = tree.resolve(path).node;
        if (target?.kind !== 'file') continue;
        if ((target.inode.mode & 0o111) !== 0 || target.inode.size <= maxNamedFile)
          needs.push({ path, rule: 'named in the script' });
      }
      for (const { path } of needs) {
        const target = tree.resolve(path).node;
        if (target !== undefined) followed.add(target.path);
      }
      return needs;
    },
  };
}

function wasRun(node: Node, context: ClosureContext): boolean {
  const access = context.trace.paths[node.path]?.access;
  return (
    access?.exec !== undefined ||
    access?.open !== undefined ||
    context.reasonOf(node.path)?.kind === 'rule'
  );
}
