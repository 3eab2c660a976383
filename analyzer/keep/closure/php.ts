import { joinPath, type ImagePath } from '../../image/path.js';
import { filesBelow } from '../tree-walk.js';
import { always, type ClosureRule, type Need } from './rule.js';

/** …/vendor/monolog/monolog/src/Logger.php: the vendor directory and the package. */
const composer = /^(.*\/vendor)\/(?:([^/]+\/[^/]+)\/|autoload\.php$)/;

/** PHP: Composer's autoloader; above strict used Composer packages and libraries in /usr/share/php whole. */
export function phpRule(): ClosureRule {
  const handled = new Set<ImagePath>();
  return {
    name: 'PHP',
    policies: always,
    expand(node, context) {
      if (!node.path.endsWith('.php')) return [];
      const [, vendor, name] = composer.exec(node.path) ?? [];
      const needs: Need[] = [];
      const whole = (dir: ImagePath, rule: string): void => {
        if (handled.has(dir)) return;
        handled.add(dir);
        for (const { path } of filesBelow(context.tree.get(dir))) needs.push({ path, rule });
      };
      if (
        vendor !== undefined &&
        context.tree.get(joinPath(vendor, 'autoload.php')) !== undefined
      ) {
        whole(joinPath(vendor, 'composer'), 'Composer autoloader for');
        needs.push({ path: joinPath(vendor, 'autoload.php'), rule: 'Composer autoloader for' });
        if (name !== undefined && context.policy !== 'strict')
          whole(joinPath(vendor, name), 'in one Composer package with');
      }
      const shared = /^\/usr\/share\/php\/[^/]+/.exec(node.path)?.[0];
      if (shared !== undefined && context.policy !== 'strict')
        whole(shared, 'in one PHP library with');
      return needs;
    },
  };
}
