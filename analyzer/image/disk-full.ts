import { statfs } from 'node:fs/promises';
import { DebloatError } from '../errors.js';

/** Whether `error` says that a disk or quota is full. */
export function isDiskFull(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/**
 * The error that tells the user that `dir` is full.
 * @param needed bytes that the whole operation needs there, as far as known.
 */
export async function diskFull(
  dir: string,
  needed: number,
  cause?: unknown,
): Promise<DebloatError> {
  const free = await statfs(dir).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  );
  return new DebloatError(
    `no space left in ${dir}: at least ${needed} bytes are needed, ${free} are free`,
    {
      hint: 'free some space, or set DEBLOAT_TMPDIR to a directory with more room',
      cause,
    },
  );
}

/** Run `work`; a full disk becomes the error of {@link diskFull}. */
export async function explainingDiskFull<T>(
  dir: string,
  needed: number,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isDiskFull(error) ? await diskFull(dir, needed, error) : error;
  }
}
