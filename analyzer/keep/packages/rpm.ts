import type { ImagePath } from '../../image/path.js';
import type { Tree } from '../../image/types.js';
import { filesBelow } from '../tree-walk.js';

/** Where rpm keeps its database: Fedora 36 and later have the second one. */
const directories = ['/var/lib/rpm', '/usr/lib/sysimage/rpm', '/usr/share/rpm'];

/** The files of an rpm database. It is binary (Berkeley DB, NDB or SQLite) and is left as it is. */
export function rpmDatabaseFiles(tree: Tree): ImagePath[] {
  return directories.flatMap((dir) => [...filesBelow(tree.get(dir))].map(({ path }) => path));
}
