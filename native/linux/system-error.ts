import { constants } from 'node:os';

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
