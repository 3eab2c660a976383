import { baseName, parentOf, type ImagePath } from '../image/path.js';
import type { Node, Tree } from '../image/types.js';
import type { KeepSet } from '../keep/types.js';
import type { Report } from './model.js';
import { staysIn } from './usage.js';

const shellNames = new Set([
  ...['sh', 'ash', 'bash', 'rbash', 'dash', 'busybox', 'toybox', 'csh', 'tcsh', 'fish'],
  ...['ksh', 'ksh93', 'mksh', 'pdksh', 'lksh', 'posh', 'yash', 'zsh', 'nu', 'pwsh', 'elvish'],
]);

type GoneAndLeft = Report['security']['setuid'];

/** What an intruder could use, and whether it is still there. */
export function listSecurity(tree: Tree, keep: KeepSet): Report['security'] {
  const setuid: GoneAndLeft = { gone: [], remaining: [] };
  const shells: GoneAndLeft = { gone: [], remaining: [] };
  const capabilities: GoneAndLeft = { gone: [], remaining: [] };
  for (const node of tree.nodes()) {
    const program = shellBehind(tree, node);
    if (program) put(shells, node.path, staysIn(keep, program));
    if (node.kind !== 'file') continue;
    const { mode, xattrs } = node.inode;
    if ((mode & 0o6000) !== 0) put(setuid, node.path, staysIn(keep, node));
    if (xattrs?.has('security.capability')) put(capabilities, node.path, staysIn(keep, node));
  }
  return { setuid, shells, capabilities };
}

/** The program that `node`, a name such as /usr/bin/sh, runs; undefined if it is no shell. */
function shellBehind(tree: Tree, node: Node): Node | undefined {
  if (node.kind !== 'file' && node.kind !== 'symlink') return undefined;
  if (!shellNames.has(baseName(node.path))) return undefined;
  if (!/^s?bin$/.test(baseName(parentOf(node.path)))) return undefined; // not /etc/init.d/sh and the like
  const program = tree.resolve(node.path).node;
  return program?.kind === 'file' && (program.inode.mode & 0o111) !== 0 ? program : undefined;
}

function put(list: GoneAndLeft, path: ImagePath, stays: boolean): void {
  (stays ? list.remaining : list.gone).push(path);
}
