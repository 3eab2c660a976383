import { ExitCode, DebloatError } from '../analyzer/errors.js';
import { defaultCacheDirectory } from '../attacher/guest/index.js';
import { CapturedEnd } from '../attacher/session/user-end.js';
import { UserTerminal } from '../attacher/session/user-terminal.js';
import { vmSession, type VmSessionEnd } from '../attacher/session/vm-session.js';
import type { CommonOptions } from './options.js';

/** Options of `debloat attach` for a session in a virtual machine. */
export interface VmSessionArguments extends CommonOptions {
  overlay?: string;
  exec?: string;
  gdb?: string;
  qmp?: string;
  session?: string;
  env?: string[];
  cwd?: string;
  user?: string;
  container?: number;
}

/** Bytes of output that `--exec` holds. */
const mostOutput = 64 * 2 ** 20;

/** `debloat attach VM -- COMMAND` and `--exec`: the command's exit code is ours. */
export async function attachToVm(
  pid: number,
  command: readonly string[],
  options: VmSessionArguments,
): Promise<void> {
  const tell = (line: string) => {
    if (options.quiet !== true) process.stderr.write(`debloat: ${line}\n`);
  };
  const { exec } = options;
  const captured = exec === undefined ? undefined : new CapturedEnd(mostOutput);
  const user = captured ?? new UserTerminal(tell);
  const words = exec === undefined ? command : ['sh', '-c', exec];
  const end = await vmSession({
    ...{ pid, user, log: tell, cacheDirectory: defaultCacheDirectory() },
    ...{ overlay: options.overlay, gdb: options.gdb, qmp: options.qmp, id: options.session },
    settings: {
      command: words.length > 0 ? words : ['bash'],
      environment: environmentOf(options.env ?? []),
      ...(options.cwd === undefined ? {} : { directory: options.cwd }),
      ...(options.user === undefined ? {} : { user: userOf(options.user) }),
      ...(options.container === undefined ? {} : { container: options.container }),
    },
  });
  if (captured?.overflowed) {
    throw new DebloatError(`The command wrote more than ${mostOutput / 2 ** 20} MB.`, {
      hint: 'run it after --, with its output into a file',
    });
  }
  if (captured) printResult(captured, end, options.format);
  if (end.refusal !== undefined) tell(end.refusal);
  const { prepare, stopped, guest, total } = end.milliseconds;
  tell(
    `session ${end.id} by ${end.backend}: prepared in ${prepare.toFixed(0)} ms, ${guest.toFixed(0)} ms in the guest, ` +
      `ready after ${total.toFixed(0)} ms; the machine stood ${stopped.toFixed(1)} ms in all`,
  );
  process.exitCode = end.code;
}

function printResult(
  { output, errors, notes }: CapturedEnd,
  end: VmSessionEnd,
  format: CommonOptions['format'],
): void {
  if (format !== 'json') {
    process.stdout.write(output);
    process.stderr.write(errors);
    return;
  }
  const { id, backend, code, signal, milliseconds } = end;
  const result = {
    ...{ session: id, backend, code, signal: signal ?? null },
    ...{ stdout: output.toString('utf8'), stderr: errors.toString('utf8'), notes, milliseconds },
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

/** The least that programs expect, the user's terminal, and what was given. */
function environmentOf(given: readonly string[]): string[] {
  const wrong = given.find((each) => !/^[^=]+=/.test(each));
  if (wrong !== undefined) {
    throw new DebloatError(`"${wrong}" is not NAME=VALUE`, { exitCode: ExitCode.usage });
  }
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  return [`PATH=${path}`, 'HOME=/root', `TERM=${process.env['TERM'] ?? 'dumb'}`, ...given];
}

/** "UID" or "UID:GID". */
function userOf(text: string): { uid: number; gid: number } {
  const [, uid, gid = uid] = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(text) ?? [];
  if (uid !== undefined && Math.max(Number(uid), Number(gid)) < 2 ** 32) {
    return { uid: Number(uid), gid: Number(gid) };
  }
  throw new DebloatError(`"${text}" is no user: UID or UID:GID, as numbers`, {
    exitCode: ExitCode.usage,
  });
}
