import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const fixtures = fileURLToPath(new URL('../fixtures/hijack/', import.meta.url));
const guest = fileURLToPath(new URL('../../native/guest/', import.meta.url));

/**
 * Build test/fixtures/hijack/`name`.c into `directory` as stage 1 is built, with some of its files; the
 * object's path.
 */
export function compileStage(directory: string, name: string, files: string[]): string {
  const script = readFileSync(join(guest, 'build.sh'), 'utf8');
  const flags = /stage1_flags="([^"]*)"/.exec(script)?.[1];
  if (flags === undefined) throw new Error('native/guest/build.sh has no stage1_flags');
  const object = join(directory, `${name}.o`);
  execFileSync('gcc', [
    ...flags.trim().split(/\s+/),
    ...['-I', join(guest, 'stage1'), '-r', '-nostdlib', '-o', object],
    join(fixtures, `${name}.c`),
    ...files.map((file) => join(guest, 'stage1', file)),
  ]);
  execFileSync('strip', ['--strip-debug', '--remove-section=.note.gnu.property', object]);
  return object;
}
