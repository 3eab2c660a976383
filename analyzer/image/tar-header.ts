import { pathFromBytes } from './path.js';

/** Size of a tar block, bytes: headers are one block, data is padded to whole ones (POSIX pax). */
export const blockSize = 512;

/** `length` rounded up to whole blocks. */
export function padded(length: number): number {
  return Math.ceil(length / blockSize) * blockSize;
}

/** The fields of one header block, before any extension header is applied. */
export interface TarHeader {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  /** One character; the ancient NUL reads as '\0'. */
  type: string;
  link: string;
  format: 'v7' | 'ustar' | 'star' | 'gnu';
}

/** What is wrong with a tar; the indexer adds which layer and entry. */
export class TarError extends Error {}

/** Whether all bytes of `block` are zero: two such blocks end an archive. */
export function isZeroBlock(block: Buffer): boolean {
  for (let i = 0; i < block.length; i++) if (block[i] !== 0) return false;
  return true;
}

/** Read a header block (POSIX ustar interchange format; GNU and star variants; v7). Throws TarError. */
export function parseHeader(block: Buffer): TarHeader {
  verifyChecksum(block);
  const format = formatOf(block);
  const name = text(block, 0, 100);
  const prefix =
    format === 'ustar' ? text(block, 345, 155) : format === 'star' ? text(block, 345, 131) : '';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    mode: number(block, 100, 8, 'mode') & 0o7777,
    uid: number(block, 108, 8, 'uid'),
    gid: number(block, 116, 8, 'gid'),
    size: number(block, 124, 12, 'size'),
    mtime: number(block, 136, 12, 'mtime'),
    type: String.fromCharCode(block[156] ?? 0),
    link: text(block, 157, 100),
    format,
  };
}

/** Device numbers of a header block. */
export function parseDevice(block: Buffer): { major: number; minor: number } {
  return { major: number(block, 329, 8, 'devmajor'), minor: number(block, 337, 8, 'devminor') };
}

/**
 * A numeric field: octal text, or GNU's base-256 (top bit set, big-endian two's complement).
 * Throws TarError on anything else and on numbers that a double cannot hold.
 */
export function number(block: Buffer, at: number, length: number, field: string): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) return base256(block, at, length, field);
  let value = 0;
  let i = at;
  const end = at + length;
  while (i < end && (block[i] === 0x20 || block[i] === 0)) i++;
  for (; i < end; i++) {
    const byte = block[i] ?? 0;
    if (byte === 0x20 || byte === 0) break;
    if (byte < 0x30 || byte > 0x37) throw new TarError(`its ${field} is not an octal number`);
    value = value * 8 + (byte - 0x30);
  }
  return value;
}

function base256(block: Buffer, at: number, length: number, field: string): number {
  const negative = ((block[at] ?? 0) & 0x40) !== 0;
  let value = negative ? -1n : 0n;
  for (let i = 0; i < length; i++) {
    const byte = block[at + i] ?? 0;
    value = (value << 8n) | BigInt(i === 0 ? (negative ? byte | 0x80 : byte & 0x7f) : byte);
  }
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw new TarError(`its ${field} is absurdly large`);
  return result;
}

function formatOf(block: Buffer): TarHeader['format'] {
  const magic = block.toString('latin1', 257, 265);
  if (magic === 'ustar  \0') return 'gnu';
  if (!magic.startsWith('ustar\0')) return 'v7';
  return block.toString('latin1', 508, 512) === 'tar\0' ? 'star' : 'ustar';
}

// Old tars summed signed chars, so both sums are accepted.
function verifyChecksum(block: Buffer): void {
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let i = 0; i < 148; i++) {
    const byte = block[i] ?? 0;
    unsigned += byte;
    high += byte >> 7;
  }
  for (let i = 156; i < blockSize; i++) {
    const byte = block[i] ?? 0;
    unsigned += byte;
    high += byte >> 7;
  }
  const expected = number(block, 148, 8, 'checksum');
  if (expected !== unsigned && expected !== unsigned - high * 256) {
    throw new TarError('the checksum of its header does not match');
  }
}

/** NUL-terminated bytes as a string (the field may also be full). */
function text(block: Buffer, at: number, length: number): string {
  let end = at;
  let ascii = 0;
  while (end < at + length && block[end] !== 0) ascii |= block[end++] ?? 0;
  return ascii < 0x80 ? block.toString('latin1', at, end) : pathFromBytes(block.subarray(at, end));
}
