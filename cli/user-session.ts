import { DebloatError, ExitCode } from '../analyzer/errors.js';
import { audit, type AuditRecord } from '../attacher/audit.js';
import type { SessionEnd } from '../attacher/session/conversation.js';
import { CapturedEnd, type UserEnd } from '../attacher/session/user-end.js';
import { UserTerminal } from '../attacher/session/user-terminal.js';
import { leaveSignals } from './interrupt.js';
import type { CommonOptions } from './options.js';

/** Options of `debloat attach` for a session, wherever it is. */
export interface SessionArguments extends CommonOptions {
  overlay?: string;
  exec?: string;
  env?: string[];
  cwd?: string;
  user?: string;
  session?: string;
}

/** Bytes of output that `--exec` holds. */
const mostOutput = 64 * 2 ** 20;

/** The user's side of one session: their command, their terminal or a buffer, and what they are told. */
export class UserSession {
  /** Empty: a shell. */
  readonly command: readonly string[];
  readonly environment: readonly string[];
  #captured: CapturedEnd | undefined;

  /** `target` as the user named it, `words` after it. Throws a DebloatError (usage) where they are wrong. */
  constructor(
    readonly target: string,
    words: readonly string[],
    readonly options: SessionArguments,
  ) {
    const { exec, env = [] } = options;
    if (exec !== undefined && words.length > 0) {
      throw usage('--exec and a command after -- exclude each other');
    }
    const wrong = env.find((each) => !/^[^=]+=/.test(each));
    if (wrong !== undefined) throw usage(`"${wrong}" is not NAME=VALUE`);
    if (options.cwd !== undefined && !options.cwd.startsWith('/')) {
      throw usage(`--cwd wants a whole path, from / on, not "${options.cwd}"`);
    }
    this.command = exec === undefined ? words : ['sh', '-c', exec];
    this.environment = env;
  }

  readonly tell = (line: string): void => {
    if (this.options.quiet !== true) process.stderr.write(`debloat: ${line}\n`);
  };

  /** Their terminal or pipes; with `--exec` a buffer, whose command is hung up when `signal` aborts. */
  makeEnd(signal: AbortSignal): UserEnd {
    if (this.options.exec === undefined)
      return new UserTerminal(this.tell, { takesOver: leaveSignals });
    this.#captured = new CapturedEnd(mostOutput, signal);
    return this.#captured;
  }

  readonly record = (facts: Omit<AuditRecord, 'target'>): Promise<void> =>
    audit({ target: this.target, ...facts }, process.env['DEBLOAT_AUDIT_LOG'], this.tell);

  /** Print what `--exec` gave, with `facts` in JSON, and make the command's exit code ours. */
  finish(end: SessionEnd, facts: object): void {
    if (this.#captured) this.#print(this.#captured, end, facts);
    if (end.refusal !== undefined) this.tell(end.refusal);
    process.exitCode = end.code;
  }

  #print(captured: CapturedEnd, { code, signal }: SessionEnd, facts: object): void {
    const { output, errors, notes, overflowed } = captured;
    captured.signal?.throwIfAborted();
    if (overflowed) {
      throw new DebloatError(`The command wrote more than ${mostOutput / 2 ** 20} MB.`, {
        hint: 'run it after --, with its output into a file',
      });
    }
    if (this.options.format !== 'json') {
      process.stdout.write(output);
      process.stderr.write(errors);
      return;
    }
    const result = {
      ...{ target: this.target, ...facts, code, signal: signal ?? null },
      ...{ stdout: output.toString('utf8'), stderr: errors.toString('utf8'), notes },
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
}

function usage(message: string): DebloatError {
  return new DebloatError(message, { exitCode: ExitCode.usage });
}
