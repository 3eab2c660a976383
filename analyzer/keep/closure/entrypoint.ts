import type { ImagePath } from '../../image/path.js';
import { findProgram } from '../tree-walk.js';
import { shellWords } from './shell-words.js';
import { always, notStrict, type ClosureContext, type ClosureRule, type Seed } from './rule.js';

/** The programs that ENTRYPOINT and CMD name stay, whichever of them a run's options replaced. */
export function entrypointRule(): ClosureRule {
  return {
    name: 'entrypoint',
    policies: always,
    seeds(context) {
      const { entrypoint, cmd } = context.environment;
      return [...programOf(context, entrypoint, 'ENTRYPOINT'), ...programOf(context, cmd, 'CMD')];
    },
  };
}

/** HEALTHCHECK runs in production even if no run here waited for it: its tools stay (CMD and CMD-SHELL). */
export function healthcheckRule(): ClosureRule {
  return {
    name: 'healthcheck',
    policies: always,
    seeds(context) {
      const [form, ...test] = context.environment.healthcheck;
      if (form === 'CMD') return programOf(context, test, 'HEALTHCHECK');
      if (form !== 'CMD-SHELL') return [];
      return [
        ...programOf(context, context.environment.shell, 'HEALTHCHECK'),
        ...[...shellWords(test.join(' ')).commands].flatMap((command) =>
          programOf(context, [command], 'HEALTHCHECK'),
        ),
      ];
    },
  };
}

/** Programs that the commands of a shell form (`sh -c "…"`) name. */
export function shellFormRule(): ClosureRule {
  return {
    name: 'shell form',
    policies: notStrict,
    seeds(context) {
      const { entrypoint, cmd } = context.environment;
      const argv = [...entrypoint, ...cmd];
      const at = argv.indexOf('-c');
      if (at < 1 || !/(?:^|\/)(?:ba|da|a|z|k)?sh$/.test(argv[at - 1] ?? '')) return [];
      return [...shellWords(argv[at + 1] ?? '').commands].flatMap((command) =>
        programOf(context, [command], 'CMD'),
      );
    },
  };
}

function programOf(context: ClosureContext, argv: readonly string[], origin: string): Seed[] {
  const command = argv[0];
  if (command === undefined || command === '') return [];
  const { path, workingDirectory } = context.environment;
  const program: ImagePath | undefined = findProgram(context.tree, path, command, workingDirectory);
  return program === undefined
    ? []
    : [{ path: program, reason: { kind: 'rule', pattern: command, origin } }];
}
