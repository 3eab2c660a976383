import { joinPath } from '../../analyzer/image/path.js';
import { encodeHeader } from '../../analyzer/image/tar-encode.js';
import type { Entry, Image, Node } from '../../analyzer/image/types.js';
import {
  contentMember,
  denseMember,
  endOfTar,
  freshMember,
  linkMember,
  rewrittenMember,
} from '../layers/members.js';
import { metadataPath, type Selection } from '../layers/selection.js';
import type { Piece } from '../stream/pieces.js';

/** A file of ours below /.debloat in the root disk. */
export interface OwnFile {
  name: string;
  mode: number;
  content: Buffer;
}

/** Directories of ours below /.debloat, on which the init mounts (native/guest/init). */
const ownDirectories = ['run', 'top'];

/**
 * The merged debloated image as one tar for a file system's tool: the root directory first, parents
 * before children, one name of an inode before its others; and at the end /.debloat with `own`,
 * for root alone, which no image has (`select` refuses it).
 */
export function* rootTar(
  image: Image,
  selection: Selection,
  own: readonly OwnFile[],
  readsSparse: (entry: Entry) => boolean,
): Generator<Piece> {
  const written = new Map<Entry, Node>();
  yield* freshMember(image, image.tree.root.inode, '/');
  for (const node of keptNodes(image, selection)) {
    const { inode, path } = node;
    const first = written.get(inode);
    const rewrite = selection.rewrites.get(inode);
    if (first) yield* linkMember(inode, path, first.path);
    else if (rewrite) yield* rewrittenMember(inode, path, rewrite.content);
    else if (inode.sparse && !readsSparse(inode)) yield* denseMember(image, inode, path);
    else yield* freshMember(image, asLinuxHasIt(inode), path);
    if (node.links && !first) written.set(inode, node);
  }
  yield directory('', ofRoot);
  // as the root directory's owner: squashfs-root.ts wants to find that owner among the files'
  const { uid, gid } = image.tree.root.inode;
  for (const name of ownDirectories) yield directory(name, { uid, gid });
  for (const { name, mode, content } of own) {
    const path = joinPath(metadataPath, name);
    const member = { path, kind: 'file' as const, mode, size: content.length, mtime: 0, ...ofRoot };
    yield* contentMember(member, { bytes: content });
  }
  yield endOfTar;
}

/** What {@link rootTar} has of the image, in its order; the root directory left out. */
export function* keptNodes(image: Image, selection: Selection): Generator<Node> {
  for (const node of image.tree.nodes()) if (selection.isKept(node)) yield node;
}

/** Every symlink has mode 0777 on Linux, whatever a tar says, but not under fakeroot. */
function asLinuxHasIt(inode: Entry): Entry {
  return inode.kind === 'symlink' ? { ...inode, mode: 0o777 } : inode;
}

const ofRoot = { uid: 0, gid: 0 };

function directory(name: string, owner: { uid: number; gid: number }): Piece {
  const path = name === '' ? metadataPath : joinPath(metadataPath, name);
  const member = { path, kind: 'dir' as const, mode: 0o700, size: 0, mtime: 0, ...owner };
  return { bytes: encodeHeader(member) };
}
