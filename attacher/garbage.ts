import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Have V8 collect what was allocated lately now, and not while somebody stands still for us: that takes
 * some milliseconds, about as many after a little work as after much.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void;
  setFlagsFromString('--no-expose-gc');
  collect({ type: 'minor' });
}
