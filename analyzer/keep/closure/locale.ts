import { baseName } from '../../image/path.js';
import { filesBelow } from '../tree-walk.js';
import { notStrict, type ClosureContext, type ClosureRule, type Seed } from './rule.js';

/**
 * The locale that the image's environment names, and C.UTF-8 if any locale was asked for: a program
 * started by hand or by another process may set what the traced one did not.
 */
export function localeRule(): ClosureRule {
  return {
    name: 'locale',
    policies: notStrict,
    seeds(context) {
      const wanted = wantedLocales(context);
      const reason = { kind: 'rule', pattern: [...wanted].join(', '), origin: 'locale' } as const;
      const seeds: Seed[] = [];
      for (const dir of context.tree.resolve('/usr/lib/locale').node?.children?.values() ?? []) {
        const name = baseName(dir.path);
        const all = context.policy === 'safe';
        if (name === 'locale-archive') {
          if (all || [...wanted].some((locale) => locale !== 'c.utf8'))
            seeds.push({ path: dir.path, reason });
        } else if (all || wanted.has(canonical(name))) {
          for (const { path } of filesBelow(dir)) seeds.push({ path, reason });
        }
      }
      return seeds;
    },
  };
}

/** Locales that the environment names or of which a file was opened; canonical names, "C" left out. */
function wantedLocales(context: ClosureContext): Set<string> {
  const wanted = new Set<string>();
  for (const [variable, value] of context.environment.variables)
    if (variable === 'LANG' || variable === 'LANGUAGE' || variable.startsWith('LC_'))
      if (value !== 'C' && value !== 'POSIX' && value !== '') wanted.add(canonical(value));
  for (const path of Object.keys(context.trace.paths)) {
    const locale = /^\/usr\/lib\/locale\/([^/]+)\//.exec(path)?.[1];
    if (locale !== undefined) wanted.add(canonical(locale));
  }
  return wanted;
}

/** As glibc compares them: "en_US.UTF-8" and "en_US.utf8" are one. */
function canonical(locale: string): string {
  return locale.toLowerCase().replace(/\.utf-8/, '.utf8');
}
