import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The program pause.c, compiled in `directory`, with nothing left there. */
export function pauseProgram(directory: string): Buffer {
  const source = fileURLToPath(new URL('pause.c', import.meta.url));
  const program = join(directory, 'pause');
  execFileSync('gcc', ['-O2', '-static', '-nostdlib', '-o', program, source]);
  const content = readFileSync(program);
  rmSync(program);
  return content;
}
