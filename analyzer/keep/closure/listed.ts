import { always, type ClosureRule } from './rule.js';

/** Directories of settings, whose entries a program reads one by one. */
const settings = /^\/etc(?:\/|$)|\.d$|\/conf(?:ig)?(?:\/|$)/;
const smallBytes = 64 << 10;
const safeBytes = 1 << 20;

/**
 * A program that listed a directory depends on what it found there, even where it read no further. At
 * balanced the entries of settings directories and of small ones stay, at safe of all but large ones.
 */
export function listedRule(): ClosureRule {
  return {
    name: 'listed directories',
    policies: always.filter((policy) => policy !== 'strict'),
    seeds(context) {
      const limit = context.policy === 'safe' ? safeBytes : smallBytes;
      return Object.entries(context.trace.paths).flatMap(([path, { access }]) => {
        const children = [...(context.tree.get(path)?.children?.values() ?? [])];
        if (access.list === undefined || path === '/') return [];
        const bytes = children.reduce((sum, { inode }) => sum + inode.size, 0);
        if (bytes > limit && !(settings.test(path) && bytes <= safeBytes)) return [];
        return children
          .filter(({ kind }) => kind !== 'dir')
          .map((child) => ({
            path: child.path,
            reason: { kind: 'closure', rule: 'entry of the listed directory', because: path },
          }));
      });
    },
  };
}
