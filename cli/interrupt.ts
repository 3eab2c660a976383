import { DebloatError, ExitCode } from '../analyzer/errors.js';

/**
 * Turn Ctrl-C, SIGTERM and SIGHUP into an abort, so that every stage can undo what it has begun.
 * A second signal ends the process at once; the workspace's reaper then cleans up.
 */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
  for (const [name, number] of Object.entries(numbers)) {
    const obey = () => {
      if (controller.signal.aborted) process.exit(128 + number);
      process.stderr.write(`\n${name} received: cleaning up (again to stop at once)\n`);
      controller.abort(
        new DebloatError(`interrupted by ${name}`, { exitCode: ExitCode.interrupted }),
      );
    };
    process.on(name, obey);
    obeying.push(() => process.off(name, obey));
  }
  return controller.signal;
}

const obeying: (() => void)[] = [];

/** No signal aborts any more: they belong to whoever listens next. */
export function leaveSignals(): void {
  for (const leave of obeying.splice(0)) leave();
}
