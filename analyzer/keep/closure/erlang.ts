import { filesBelow } from '../tree-walk.js';
import { notStrict, type ClosureRule } from './rule.js';
import type { ImagePath } from '../../image/path.js';

/** …/lib/ssl-10.8.7/ebin/ssl.beam, …/plugins/rabbit-3.10.8/ebin/rabbit.beam: the OTP application. */
const application = /^(.*\/[a-z][\w]*(?:-[\d.]+\w*)?)\/(?:ebin|priv)\//;

/** Erlang and Elixir load modules when they are first called: an OTP application in use stays whole. */
export function erlangRule(): ClosureRule {
  const handled = new Set<ImagePath>();
  return {
    name: 'Erlang',
    policies: notStrict,
    expand(node, context) {
      const dir = /\.(?:beam|app)$/.test(node.path) ? application.exec(node.path)?.[1] : undefined;
      if (dir === undefined || handled.has(dir)) return [];
      handled.add(dir);
      const parts = ['ebin', 'priv'].map((name) => context.tree.get(dir)?.children?.get(name));
      return parts
        .flatMap((part) => [...filesBelow(part)])
        .map(({ path }) => ({ path, rule: 'in one OTP application with' }));
    },
  };
}
