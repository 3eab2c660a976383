/** What a session runs if no command is given: the shell that people like best of those that there are. */
export const shell = ['sh', '-c', 'command -v bash >/dev/null && exec bash; exec sh'];

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The environment of a session's command: the least that programs expect, then that of the application
 * if there is one, then ours, then what was given; of each name the last value.
 */
export function environmentFor(
  given: readonly string[],
  { application = [], home = '/root' }: { application?: readonly string[]; home?: string } = {},
): string[] {
  const ours = [`HOME=${home}`, `TERM=${process.env['TERM'] ?? 'dumb'}`];
  const words = [`PATH=${path}`, ...application, ...ours, ...given];
  return [...new Map(words.map((word) => [word.split('=', 1)[0] ?? '', word])).values()];
}
