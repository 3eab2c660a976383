import type { ImagePath } from '../image/path.js';
import type { Tree } from '../image/types.js';
import type { AccessKind } from '../trace/types.js';
import type { KeepSet, Reason } from './types.js';

const verbs: Record<AccessKind, string> = {
  exec: 'executed',
  open: 'opened',
  write: 'written',
  list: 'listed',
  stat: 'looked up',
  readlink: 'read as a symlink',
  link: 'stepped through as a symlink',
  chdir: 'entered',
  change: 'changed',
};

/** One phrase: "executed by sh", "DT_NEEDED libc.so.6 of /usr/sbin/nginx", "directory", … */
export function describeReason(reason: Reason): string {
  switch (reason.kind) {
    case 'traced':
      return `${verbs[reason.access]} by ${reason.by}`;
    case 'closure':
      return /\b(?:of|in|by|beside|with|for|is|symlink|directory|script|library)$/.test(reason.rule)
        ? `${reason.rule} ${reason.because}`
        : `${reason.rule} of ${reason.because}`;
    case 'rule':
      return `${reason.origin} ${reason.pattern}`;
    case 'cheap':
      return reason.what;
  }
}

/**
 * Why `path` stays or went, in one line, back to the cause:
 * "kept: DT_NEEDED libpcre2-8.so.0 of /usr/sbin/nginx ← executed by sh".
 */
export function explain(keepSet: KeepSet, path: ImagePath, tree: Tree): string {
  if (path === '/') return 'kept: the root directory';
  const { node, links } = tree.resolve(path);
  const exact = tree.get(path);
  const at = exact ?? node ?? links.at(-1);
  if (at === undefined) return `${path} is not in the image`;
  const shown = at.path === path ? '' : `${path} is ${at.path}; `;
  const dropped = keepSet.dropped?.get(at.path);
  if (dropped !== undefined)
    return `${shown}removed by a --drop, the command line's or a profile's; without it: ${describeReason(dropped)}; it is in the overlay`;
  if (!keepSet.reasons.has(at.path))
    return (
      `${shown}removed: no process used it, and no rule keeps it (policy ${keepSet.policy}); it is in the ` +
      `overlay. To keep it: --keep '${at.path}'`
    );
  const chain: string[] = [];
  const seen = new Set<ImagePath>();
  let next: ImagePath | undefined = at.path;
  while (next !== undefined && !seen.has(next)) {
    seen.add(next);
    const reason: Reason | undefined = keepSet.reasons.get(next);
    if (reason === undefined) break;
    chain.push(describeReason(reason));
    next = reason.kind === 'closure' ? reason.because : undefined;
  }
  return `${shown}kept: ${chain.join(' ← ')}`;
}
