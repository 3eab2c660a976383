import { pathFromBytes } from './path.js';
import { TarError } from './tar-header.js';

/** Records of a pax extended header in order; a key may come twice (GNU sparse 0.0 does that). */
export type PaxRecords = readonly (readonly [key: string, value: Buffer])[];

/** What a pax header says about the member after it; undefined means not said. */
export interface PaxAttributes {
  path?: string;
  link?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: { seconds: number; nanoseconds: number };
  xattrs?: Map<string, Buffer>;
  /** GNU.sparse.* records, for tar-sparse.ts. */
  sparse: PaxRecords;
}

const space = 0x20;
const equals = 0x3d;
const newline = 0x0a;

/** Split the data of an 'x' header into records `LENGTH KEY=VALUE\n` (POSIX pax). Throws TarError. */
export function parsePaxRecords(data: Buffer): PaxRecords {
  const records: [string, Buffer][] = [];
  let at = 0;
  while (at < data.length && data[at] !== 0) {
    const gap = data.indexOf(space, at);
    const digits = gap < 0 ? '' : data.toString('latin1', at, gap);
    const end = at + Number(digits);
    if (!/^[0-9]{1,10}$/.test(digits) || end > data.length || end <= gap + 1) {
      throw new TarError('a record of its pax header has a wrong length');
    }
    const sign = data.indexOf(equals, gap);
    if (sign <= gap + 1 || sign >= end || data[end - 1] !== newline) {
      throw new TarError('a record of its pax header is malformed');
    }
    records.push([pathFromBytes(data.subarray(gap + 1, sign)), data.subarray(sign + 1, end - 1)]);
    at = end;
  }
  return records;
}

/** Interpret the records that matter to an image; all others (comments, vendors') are skipped. */
export function interpretPax(records: PaxRecords): PaxAttributes {
  const attributes: PaxAttributes = { sparse: [] };
  const sparse: [string, Buffer][] = [];
  for (const [key, value] of records) {
    if (key.startsWith('GNU.sparse.')) {
      sparse.push([key, Buffer.from(value)]);
    } else if (key.startsWith('SCHILY.xattr.')) {
      addXattr(attributes, key.slice('SCHILY.xattr.'.length), Buffer.from(value));
    } else if (key.startsWith('LIBARCHIVE.xattr.')) {
      addXattr(attributes, ...libarchiveXattr(key.slice('LIBARCHIVE.xattr.'.length), value));
    } else if (value.length > 0) {
      interpret(attributes, key, value); // an empty value means: as without the record
    }
  }
  attributes.sparse = sparse;
  return attributes;
}

function interpret(attributes: PaxAttributes, key: string, value: Buffer): void {
  switch (key) {
    case 'path':
      attributes.path = paxName(value, key);
      break;
    case 'linkpath':
      attributes.link = paxName(value, key);
      break;
    case 'size':
    case 'uid':
    case 'gid':
      attributes[key] = paxInteger(value.toString('latin1'), key);
      break;
    case 'mtime':
      attributes.mtime = paxTime(value.toString('latin1'));
      break;
  }
}

/** A decimal number that is no negative and that a double holds exactly. */
export function paxInteger(text: string, key: string): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new TarError(`the ${key} in its pax header is not a sensible number`);
  }
  return value;
}

/** A name from a pax header: bytes, but none of them NUL. */
export function paxName(value: Buffer, key: string): string {
  if (value.includes(0)) throw new TarError(`the ${key} in its pax header holds a NUL byte`);
  return pathFromBytes(value);
}

function paxTime(text: string): { seconds: number; nanoseconds: number } {
  const match = /^(-?)([0-9]+)(?:\.([0-9]*))?$/.exec(text);
  const whole = Number(match?.[2]);
  if (!match || !Number.isSafeInteger(whole)) {
    throw new TarError('the mtime in its pax header is not a number');
  }
  const fraction = Number((match[3] ?? '').padEnd(9, '0').slice(0, 9));
  if (match[1] === '') return { seconds: whole, nanoseconds: fraction };
  // As timespec has it: the fraction counts upwards, also before 1970.
  return fraction === 0
    ? { seconds: 0 - whole, nanoseconds: 0 }
    : { seconds: -whole - 1, nanoseconds: 1_000_000_000 - fraction };
}

function addXattr(attributes: PaxAttributes, name: string, value: Buffer): void {
  attributes.xattrs ??= new Map<string, Buffer>();
  attributes.xattrs.set(name, value);
}

// libarchive writes both forms; this one has its name %-escaped and its value in base64.
function libarchiveXattr(name: string, value: Buffer): [string, Buffer] {
  const bytes = name.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
  return [
    pathFromBytes(Buffer.from(bytes, 'latin1')),
    Buffer.from(value.toString('latin1'), 'base64'),
  ];
}
