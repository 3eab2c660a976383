import { pathToBytes, type ImagePath } from './path.js';
import { blockSize, padded } from './tar-header.js';
import type { Entry, Node, SparseSegment } from './types.js';

/** What a tar member says of itself; the fields are those of {@link Entry}. */
export interface Member {
  path: ImagePath;
  kind: Node['kind'] | 'hardlink';
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  mtimeNanoseconds?: number;
  /** Logical bytes of a file. */
  size: number;
  /** Of a symlink its text, of a hardlink the image path of its target. */
  link?: string;
  major?: number;
  minor?: number;
  xattrs?: ReadonlyMap<string, Buffer>;
  sparse?: readonly SparseSegment[];
}

const typeFlags: Record<Member['kind'], string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  dir: '5',
  fifo: '6',
};

/** The member that puts the inode `entry` at `path`. */
export function memberAt(path: ImagePath, entry: Entry): Member {
  return { ...entry, path, kind: entry.kind as Member['kind'] };
}

/**
 * The header blocks of a member in GNU format, whose names are plain bytes (pax wants UTF-8): long
 * names by 'L' and 'K', large numbers in base-256, sparse files as 'S'; a pax header only for
 * extended attributes and fractions of a second. The data (for a sparse file its segments one after
 * the other) is to follow, padded to {@link blockSize}.
 */
export function encodeHeader(member: Member): Buffer {
  const name = nameBytes(member.path, member.kind === 'dir' ? '/' : '');
  const link = linkBytes(member);
  const blocks: Buffer[] = [];
  if (link.length > 100) blocks.push(...longField('K', link));
  if (name.length > 100) blocks.push(...longField('L', name));
  const pax = paxRecords(member);
  if (pax.length > 0) blocks.push(...extension('x', 'pax', pax));

  const block = Buffer.alloc(blockSize);
  name.copy(block, 0, 0, 100);
  link.copy(block, 157, 0, 100);
  putNumber(block, 100, 8, member.mode);
  putNumber(block, 108, 8, member.uid);
  putNumber(block, 116, 8, member.gid);
  putNumber(block, 124, 12, storedSizeOf(member));
  putNumber(block, 136, 12, secondsOf(member));
  block.write(typeFlags[member.kind], 156, 'latin1');
  block.write('ustar  \0', 257, 'latin1');
  if (member.kind === 'char' || member.kind === 'block') {
    putNumber(block, 329, 8, member.major ?? 0);
    putNumber(block, 337, 8, member.minor ?? 0);
  }
  const map = member.kind === 'file' && member.sparse ? sparseMap(block, member) : [];
  putChecksum(block);
  return Buffer.concat([...blocks, block, ...map]);
}

/** Bytes of data that follow the header. */
export function storedSizeOf(member: Pick<Member, 'kind' | 'size' | 'sparse'>): number {
  if (member.kind !== 'file') return 0;
  return member.sparse?.reduce((sum, { length }) => sum + length, 0) ?? member.size;
}

/** Zeros that pad `size` bytes of data to whole blocks. */
export function padding(size: number): Buffer {
  return Buffer.alloc(padded(size) - size);
}

/** The two zero blocks that end an archive. */
export function endOfArchive(): Buffer {
  return Buffer.alloc(2 * blockSize);
}

function nameBytes(path: ImagePath, suffix: string): Buffer {
  return path === '/' ? Buffer.from('./') : pathToBytes(path.slice(1) + suffix);
}

function linkBytes(member: Member): Buffer {
  if (member.link === undefined) return Buffer.alloc(0);
  if (member.kind === 'hardlink') return pathToBytes(member.link.slice(1));
  return member.kind === 'symlink' ? pathToBytes(member.link) : Buffer.alloc(0);
}

// A second of rounding is possible where the double could not hold the fraction.
function secondsOf(member: Member): number {
  return Math.round(member.mtime - (member.mtimeNanoseconds ?? 0) / 1e9);
}

function paxRecords(member: Member): Buffer {
  if (member.kind === 'hardlink') return Buffer.alloc(0); // all of it belongs to the inode
  const records: Buffer[] = [];
  const nanoseconds = member.mtimeNanoseconds ?? 0;
  if (nanoseconds !== 0) records.push(record('mtime', Buffer.from(decimalTime(member))));
  for (const [name, value] of member.xattrs ?? []) {
    records.push(record(`SCHILY.xattr.${name}`, value));
  }
  return Buffer.concat(records);
}

// pax counts the fraction in the direction of the sign, timespec always upwards.
function decimalTime(member: Member): string {
  let seconds = secondsOf(member);
  let fraction = member.mtimeNanoseconds ?? 0;
  let sign = '';
  if (seconds < 0) {
    sign = '-';
    seconds = -seconds - 1;
    fraction = 1_000_000_000 - fraction;
  }
  return `${sign}${seconds}.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`;
}

// LENGTH counts its own digits.
function record(key: string, value: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(' '), pathToBytes(key), Buffer.from('='), value]);
  let length = body.length + 1;
  while (length !== body.length + 1 + String(length).length) {
    length = body.length + 1 + String(length).length;
  }
  return Buffer.concat([Buffer.from(String(length)), body, Buffer.from('\n')]);
}

function longField(type: 'L' | 'K', text: Buffer): Buffer[] {
  return extension(type, '././@LongLink', Buffer.concat([text, Buffer.alloc(1)]));
}

function extension(type: string, name: string, data: Buffer): Buffer[] {
  const block = Buffer.alloc(blockSize);
  block.write(name, 0, 'latin1');
  putNumber(block, 100, 8, 0o644);
  putNumber(block, 108, 8, 0);
  putNumber(block, 116, 8, 0);
  putNumber(block, 124, 12, data.length);
  putNumber(block, 136, 12, 0);
  block.write(type, 156, 'latin1');
  block.write(type === 'x' ? 'ustar\x0000' : 'ustar  \0', 257, 'latin1');
  putChecksum(block);
  return [block, data, padding(data.length)];
}

// 4 segments in the header itself, 21 in each block after it.
function sparseMap(block: Buffer, member: Member): Buffer[] {
  block.write('S', 156, 'latin1');
  putNumber(block, 483, 12, member.size);
  const segments = [...(member.sparse ?? [])];
  // GNU tar learns the end of the file from a last empty segment.
  const last = segments.at(-1);
  if (!last || last.offset + last.length < member.size) {
    segments.push({ offset: member.size, length: 0 });
  }
  putSegments(block, 386, segments.splice(0, 4));
  const blocks: Buffer[] = [];
  block[482] = segments.length > 0 ? 1 : 0;
  while (segments.length > 0) {
    const extension = Buffer.alloc(blockSize);
    putSegments(extension, 0, segments.splice(0, 21));
    extension[504] = segments.length > 0 ? 1 : 0;
    blocks.push(extension);
  }
  return blocks;
}

function putSegments(block: Buffer, at: number, segments: readonly SparseSegment[]): void {
  segments.forEach(({ offset, length }, i) => {
    putNumber(block, at + i * 24, 12, offset);
    putNumber(block, at + i * 24 + 12, 12, length);
  });
}

/** Octal with a NUL at the end where it fits, else base-256. */
function putNumber(block: Buffer, at: number, length: number, value: number): void {
  if (value >= 0 && value < 8 ** (length - 1)) {
    block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
    return;
  }
  let rest = BigInt.asUintN(8 * length, BigInt(value));
  for (let i = at + length - 1; i >= at; i--) {
    block[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  block[at] = (block[at] ?? 0) | 0x80;
}

function putChecksum(block: Buffer): void {
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}
