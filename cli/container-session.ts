import { containerSession } from '../attacher/container/session.js';
import type { ContainerTarget } from '../attacher/targets.js';
import { abortOnSignals, leaveSignals } from './interrupt.js';
import type { SourceOptions } from './options.js';
import { accessFrom, withJob } from './session.js';
import { UserSession, type SessionArguments } from './user-session.js';

export type ContainerSessionArguments = SessionArguments &
  Pick<SourceOptions, 'insecure' | 'authfile'>;

/** `debloat attach CONTAINER -- COMMAND` and `--exec`: the command's exit code is ours. */
export async function attachToContainer(
  target: ContainerTarget,
  named: string,
  words: readonly string[],
  options: ContainerSessionArguments,
): Promise<void> {
  const session = new UserSession(named, words, options);
  const { command, environment, tell, record } = session;
  const end = await containerSession({
    ...{ target, named, id: options.session, command, environment, tell, record },
    ...{ overlay: options.overlay, directory: options.cwd, user: options.user },
    makeEnd: () => session.makeEnd(abortOnSignals()),
    access: accessFrom(options),
    within: async (work) => {
      try {
        return await withJob(options, work);
      } finally {
        leaveSignals();
      }
    },
  });
  session.finish(end, { overlay: end.overlay.digest, session: end.id });
}
