/** Exit codes of the command line (docs/cli.md). */
export const ExitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  budgetMissed: 3,
  verificationFailed: 4,
  interrupted: 130,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export interface DebloatErrorOptions {
  /** What the user can do about it; printed on its own line. */
  hint?: string;
  exitCode?: ExitCode;
  cause?: unknown;
}

/**
 * An error whose message is meant for the user: one sentence that says what is wrong.
 * Anything else that reaches the command line is a bug of ours and is reported as one.
 */
export class DebloatError extends Error {
  override readonly name: string = 'DebloatError';
  readonly hint: string | undefined;
  readonly exitCode: ExitCode;

  constructor(message: string, options: DebloatErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? ExitCode.failure;
  }
}

/** The message of anything thrown, for use inside a sentence. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
