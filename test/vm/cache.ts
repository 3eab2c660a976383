import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** A path in the directory that keeps what tests fetch and make once ($DEBLOAT_TEST_CACHE). */
export function inTestCache(...names: string[]): string {
  const cache = process.env['DEBLOAT_TEST_CACHE'] ?? join(homedir(), '.cache', 'debloat-test');
  return join(cache, ...names);
}

/** The cached `path`, made by `make` at a temporary path beside it if it is not there: all of it or nothing. */
export async function cached(
  path: string,
  make: (temporary: string) => Promise<void> | void,
): Promise<string> {
  if (existsSync(path)) return path;
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  rmSync(temporary, { recursive: true, force: true });
  try {
    await make(temporary);
    // Another process may have been as quick: its result is as good, and rename replaces files only.
    if (!existsSync(path)) renameSync(temporary, path);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return path;
}
