import { joinPath, type ImagePath } from '../../image/path.js';
import { filesBelow } from '../tree-walk.js';
import { always, type ClosureRule } from './rule.js';

/** …/lib/server/libjvm.so (9 and later), …/jre/lib/amd64/server/libjvm.so (8). */
const virtualMachine = /^(.*)\/lib\/(?:\w+\/)?(?:server|client|minimal|zero)\/libjvm\.so$/;

/** Sources, debugging data and link-time modules: for developers. */
const developerParts =
  /\/(?:src\.zip|ct\.sym|jmods|demo|sample|man|include|legal|.*\.debuginfo|.*\.diz)$/;

/** Read late by nearly every program: security policy, time zones, character tables, launchers' settings. */
const strictParts =
  /\/(?:conf|lib\/security|lib\/jfr)\/|\/lib\/(?:tzdb\.dat|tzmappings|currency\.(?:data|properties)|jvm\.cfg|modules|[^/]*\.properties|(?:amd64\/|server\/)?lib(?:java|jimage|jli|verify|zip|net|nio|extnet|management\w*|instrument|prefs|jaas|j2\w+|attach|rmi|sctp|j2pkcs11)\.so)$|\/release$/;

/** Java: the runtime image of a used virtual machine stays whole but for development data. */
export function javaRule(): ClosureRule {
  return {
    name: 'Java',
    policies: always,
    expand(node, context) {
      const home = virtualMachine.exec(node.path)?.[1];
      if (home === undefined) return [];
      const strict = context.policy === 'strict';
      const isPart = (path: ImagePath): boolean =>
        !developerParts.test(path) && (!strict || strictParts.test(path));
      const roots = ['lib', 'conf'].map((name) => context.tree.resolve(joinPath(home, name)).node);
      const files = roots.flatMap((root) => [
        ...filesBelow(root, ({ path }) => !developerParts.test(path)),
      ]);
      return [...files.map(({ path }) => path), joinPath(home, 'release')]
        .filter((path) => isPart(path) || /^\/etc\/java/.test(path))
        .map((path) => ({ path, rule: 'Java runtime of' }));
    },
  };
}
