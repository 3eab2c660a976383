import { DebloatError, ExitCode } from '../analyzer/errors.js';
import { audit } from '../attacher/audit.js';
import { containerSession, type ContainerSessionEnd } from '../attacher/container/session.js';
import { CapturedEnd } from '../attacher/session/user-end.js';
import { UserTerminal } from '../attacher/session/user-terminal.js';
import type { ContainerTarget } from '../attacher/targets.js';
import { abortOnSignals, leaveSignals } from './interrupt.js';
import type { CommonOptions, SourceOptions } from './options.js';
import { accessFrom, withJob } from './session.js';

/** Options of `debloat attach` for a session. */
export interface SessionArguments
  extends CommonOptions, Pick<SourceOptions, 'insecure' | 'authfile'> {
  overlay?: string;
  exec?: string;
  env?: string[];
  cwd?: string;
  user?: string;
}

/** Bytes of output that `--exec` holds. */
const mostOutput = 64 * 2 ** 20;

/** `debloat attach CONTAINER -- COMMAND` and `--exec`: the command's exit code is ours. */
export async function attachToContainer(
  target: ContainerTarget,
  named: string,
  command: readonly string[],
  options: SessionArguments,
): Promise<void> {
  const { exec } = options;
  if (exec !== undefined && command.length > 0) {
    throw new DebloatError('--exec and a command after -- exclude each other', {
      exitCode: ExitCode.usage,
    });
  }
  const tell = (line: string) => {
    if (options.quiet !== true) process.stderr.write(`debloat: ${line}\n`);
  };
  let captured: CapturedEnd | undefined;
  const makeEnd = () => {
    if (exec === undefined) return new UserTerminal(tell);
    captured = new CapturedEnd(mostOutput, abortOnSignals());
    return captured;
  };
  const end = await containerSession({
    target,
    overlay: options.overlay,
    command: exec === undefined ? command : ['sh', '-c', exec],
    environment: checkedEnvironment(options.env ?? []),
    ...{ directory: options.cwd, user: options.user, makeEnd, tell },
    access: accessFrom(options),
    within: async (work) => {
      try {
        return await withJob(options, work);
      } finally {
        leaveSignals();
      }
    },
    record: (facts) => audit({ target: named, ...facts }, process.env['DEBLOAT_AUDIT_LOG'], tell),
  });
  if (captured) print(captured, end, named, options.format);
  if (end.refusal !== undefined) tell(end.refusal);
  process.exitCode = end.code;
}

function print(
  captured: CapturedEnd,
  end: ContainerSessionEnd,
  target: string,
  format: CommonOptions['format'],
): void {
  const { output, errors, notes, overflowed } = captured;
  if (overflowed) {
    throw new DebloatError(`The command wrote more than ${mostOutput / 2 ** 20} MB.`, {
      hint: 'run it after --, with its output into a file',
    });
  }
  if (format !== 'json') {
    process.stdout.write(output);
    process.stderr.write(errors);
    return;
  }
  const { code, signal, overlay } = end;
  const result = {
    ...{ target, overlay: overlay.digest, code, signal: signal ?? null },
    ...{ stdout: output.toString('utf8'), stderr: errors.toString('utf8'), notes },
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

function checkedEnvironment(words: readonly string[]): readonly string[] {
  const wrong = words.find((each) => !/^[^=]+=/.test(each));
  if (wrong === undefined) return words;
  throw new DebloatError(`"${wrong}" is not NAME=VALUE`, { exitCode: ExitCode.usage });
}
