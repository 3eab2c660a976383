import { extents } from '../../analyzer/image/content.js';
import type { ImagePath } from '../../analyzer/image/path.js';
import { encodeHeader, memberAt, type Member } from '../../analyzer/image/tar-encode.js';
import { blockSize, padded } from '../../analyzer/image/tar-header.js';
import type { Entry, Image } from '../../analyzer/image/types.js';
import type { Piece } from '../stream/pieces.js';

/** `entry` as it stands in its layer's tar, headers and padding included. */
export function rawMember(image: Image, entry: Entry): Piece[] {
  const length = entry.endOffset - entry.headerOffset;
  // the tar may end right after its last member's data, without padding
  return [{ file: tarOf(image, entry), offset: entry.headerOffset, length }, ...paddingOf(length)];
}

/** The inode that `entry` holds as a member of its own, under `path`: fresh header, same data. */
export function freshMember(image: Image, entry: Entry, path: ImagePath): Piece[] {
  const header: Piece = { bytes: encodeHeader(memberAt(path, entry)) };
  if (entry.storedSize === 0) return [header];
  return [header, storedData(image, entry), ...paddingOf(entry.storedSize)];
}

/** As {@link freshMember}, the holes of a sparse file written as zeros. */
export function denseMember(image: Image, entry: Entry, path: ImagePath): Piece[] {
  const file = tarOf(image, entry);
  const member = memberAt(path, entry);
  delete member.sparse;
  const data = [...extents(entry)].map(({ length, position }): Piece =>
    position === undefined ? { zeros: length } : { file, offset: position, length },
  );
  return [{ bytes: encodeHeader(member) }, ...data, ...paddingOf(entry.size)];
}

/** The file `entry` under `path` with other content. */
export function rewrittenMember(entry: Entry, path: ImagePath, content: Buffer): Piece[] {
  const member = { ...memberAt(path, entry), size: content.length };
  delete member.sparse;
  return contentMember(member, { bytes: content });
}

/** One more name, `path`, of the inode at `target`. */
export function linkMember(inode: Entry, path: ImagePath, target: ImagePath): Piece[] {
  const { mode, uid, gid, mtime } = inode;
  const link: Member = { path, kind: 'hardlink', mode, uid, gid, mtime, size: 0, link: target };
  return [{ bytes: encodeHeader(link) }];
}

/** A member whose data is `content`, which must be `member.size` bytes long. */
export function contentMember(member: Member, content: Piece): Piece[] {
  return [{ bytes: encodeHeader(member) }, content, ...paddingOf(member.size)];
}

/** The bytes of `entry` as they are stored in the layer's tar, without padding. */
export function storedData(image: Image, entry: Entry): Piece {
  return { file: tarOf(image, entry), offset: entry.dataOffset, length: entry.storedSize };
}

/** The two zero blocks that end a tar. */
export const endOfTar: Piece = { zeros: 2 * blockSize };

function paddingOf(size: number): Piece[] {
  const padding = padded(size) - size;
  return padding > 0 ? [{ zeros: padding }] : [];
}

function tarOf(image: Image, entry: Entry): string {
  const layer = image.layers[entry.layer];
  if (!layer) throw new Error(`the image has no layer ${entry.layer}`);
  return layer.file;
}
