import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { resolveUser, type ProcessUser } from '../../analyzer/runtime/oci/user.js';

/** Of a file of the container's; a hostile one is not to fill our memory. */
const mostBytes = 1 << 20;

/** Who "user[:group]" is in the container of process `pid`, as `docker exec --user` takes it; throws a DebloatError for an unknown name. */
export function userIn(pid: number, spec: string): ProcessUser {
  const file = (name: string) => textOf(`/proc/${pid}/root/etc/${name}`);
  return resolveUser(spec, file('passwd'), file('group'));
}

/** The text of a regular file, empty if there is none. */
function textOf(path: string): string {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return '';
  }
  try {
    if (!fstatSync(file).isFile()) return '';
    const bytes = Buffer.alloc(mostBytes);
    return bytes.toString('utf8', 0, readSync(file, bytes));
  } finally {
    closeSync(file);
  }
}
