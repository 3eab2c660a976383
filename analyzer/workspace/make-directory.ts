import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Make `dir` (an absolute path) and what is missing above it. Returns the topmost directory that was
 * made, or undefined if all were there. Not `mkdir` with `recursive`: that never ends in a file
 * system that answers ENOENT to every mkdir, as /proc does.
 */
export async function makeDirectory(dir: string): Promise<string | undefined> {
  const missing: string[] = [];
  for (let path = dir; !(await exists(path)); path = dirname(path)) missing.unshift(path);
  for (const path of missing) await mkdir(path).catch(ignoreExisting);
  if (missing.length === 0 && !(await stat(dir)).isDirectory()) {
    throw Object.assign(new Error('it is not a directory'), { code: 'ENOTDIR' });
  }
  return missing[0];
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && path !== '/') return false;
    throw error;
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error; // someone else made it meanwhile
}
