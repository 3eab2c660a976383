import { isDocumentation } from '../packages/package-index.js';
import type { ClosureRule } from './rule.js';

/** Safe: every package of which a file was used stays whole, but for its documentation. */
export function wholePackagesRule(): ClosureRule {
  return {
    name: 'whole packages',
    policies: ['safe'],
    expand(node, context) {
      const access = context.trace.paths[node.path]?.access;
      if (access === undefined || Object.keys(access).every((kind) => kind === 'stat')) return [];
      return (context.packages.ownerOf(node.path)?.files ?? [])
        .filter((path) => !isDocumentation(path) && !context.isKept(path))
        .map((path) => ({ path, rule: 'in one package with' }));
    },
  };
}

/** Safe: a shell and the small tools, for people who look into a container. */
export function shellRule(): ClosureRule {
  const tools =
    'sh bash cat cp chgrp chmod chown cut date dd df dirname basename echo env false find getent grep head hostname id ln ls mkdir mktemp mv nproc od printf ps pwd readlink realpath rm rmdir sed sleep sort stat sync tail tee test touch tr true uname uniq wc which whoami xargs'.split(
      ' ',
    );
  return {
    name: 'shell',
    policies: ['safe'],
    seeds: () =>
      tools.flatMap((tool) =>
        ['/bin', '/usr/bin'].map((dir) => ({
          path: `${dir}/${tool}`,
          reason: { kind: 'rule' as const, pattern: tool, origin: 'policy safe' },
        })),
      ),
  };
}
