import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

// Of two names for one number the first by alphabet is the usual one: EAGAIN, not EWOULDBLOCK.
const names = new Map(
  Object.entries(constants.errno)
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .map(([name, value]) => [value, name]),
);

/** The name of an errno value: "ENOENT"; `errno N` where this machine has none for it. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}

/** What an errno value means, in words: "no such file or directory". */
export function errnoReason(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[1] ?? `error ${errno}`;
}

/** Why a call failed, without the call and its parameters where that can be told; for use inside a sentence. */
export function failureReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'errno' in error && typeof error.errno === 'number'
    ? errnoReason(Math.abs(error.errno))
    : error.message;
}

/** A system call failed; `code` is its errno's name, as in the errors of node:fs. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly code: string;

  constructor(
    readonly syscall: string,
    readonly errno: number,
  ) {
    const code = errnoName(errno);
    super(`${syscall}: ${code}`);
    this.code = code;
  }
}

/** Whether `error` is a failed system call (ours or node:fs's) with one of these errno names. */
export function failedWith(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
