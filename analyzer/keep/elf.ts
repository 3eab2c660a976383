/**
 * ELF files, as far as the dynamic loader reads them (System V gABI chapters 4 and 5).
 *
 * The input is hostile: every offset is checked against the file's size, every count is capped, and
 * anything wrong ends in an {@link ElfError}.
 */

/** Bytes that can be read in ranges; `read` returns fewer than asked for at the end. */
export interface RangeSource {
  /** Bytes. */
  size: number;
  read(offset: number, length: number): Promise<Buffer>;
}

/** What the dynamic loader needs to know of one object. */
export interface ElfInfo {
  bits: 32 | 64;
  endian: 'little' | 'big';
  /** `e_machine`: 62 is x86-64, 183 AArch64, … */
  machine: number;
  /** `e_type`: 2 is a program at a fixed address, 3 a shared object or a position-independent program. */
  type: number;
  interpreter?: string;
  soname?: string;
  needed: string[];
  /** DT_RPATH and DT_RUNPATH, split at colons. */
  rpath: string[];
  runpath: string[];
}

/** A file that starts like an ELF file and is not a sound one. */
export class ElfError extends Error {
  override readonly name = 'ElfError';
}

const maxProgramHeaders = 4096;
const maxDynamicBytes = 1 << 20;
const maxNeeded = 4096;
const maxString = 4096;

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;

const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_STRSZ = 10;
const DT_SONAME = 14;
const DT_RPATH = 15;
const DT_RUNPATH = 29;

/** True if `head` (the first bytes of a file) has the ELF magic number. */
export function isElf(head: Uint8Array): boolean {
  return head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
}

/** Parse the headers and dynamic section of an ELF file. Throws {@link ElfError} if they are broken. */
export async function parseElf(source: RangeSource): Promise<ElfInfo> {
  const reader = new ElfReader(source);
  const ident = await reader.bytes(0, 16);
  if (!isElf(ident)) throw new ElfError('no ELF magic number');
  const bits = choose(ident[4], [32, 64] as const, 'class');
  const endian = choose(ident[5], ['little', 'big'] as const, 'byte order');
  reader.setFormat(bits, endian);

  const header = await reader.bytes(0, bits === 64 ? 64 : 52);
  const info: ElfInfo = {
    bits,
    endian,
    machine: reader.u16(header, 18),
    type: reader.u16(header, 16),
    needed: [],
    rpath: [],
    runpath: [],
  };
  const segments = await readSegments(reader, header);
  const interpreter = segments.find((segment) => segment.type === PT_INTERP);
  if (interpreter !== undefined)
    info.interpreter = await reader.string(interpreter.offset, interpreter.fileSize);
  const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
  if (dynamic !== undefined && dynamic.fileSize > 0)
    await readDynamic(reader, dynamic, segments, info);
  return info;
}

interface Segment {
  type: number;
  offset: number;
  address: number;
  fileSize: number;
}

async function readSegments(reader: ElfReader, header: Buffer): Promise<Segment[]> {
  const wide = reader.bits === 64;
  const tableOffset = reader.word(header, wide ? 32 : 28);
  const entrySize = reader.u16(header, wide ? 54 : 42);
  const count = reader.u16(header, wide ? 56 : 44);
  if (count === 0) return [];
  if (count > maxProgramHeaders) throw new ElfError(`${count} program headers`);
  if (entrySize < (wide ? 56 : 32)) throw new ElfError(`program headers of ${entrySize} bytes`);
  const table = await reader.bytes(tableOffset, count * entrySize);
  return Array.from({ length: count }, (_, index) => {
    const at = index * entrySize;
    return {
      type: reader.u32(table, at),
      offset: reader.word(table, at + (wide ? 8 : 4)),
      address: reader.word(table, at + (wide ? 16 : 8)),
      fileSize: reader.word(table, at + (wide ? 32 : 16)),
    };
  });
}

async function readDynamic(
  reader: ElfReader,
  dynamic: Segment,
  segments: readonly Segment[],
  info: ElfInfo,
): Promise<void> {
  if (dynamic.fileSize > maxDynamicBytes) throw new ElfError('oversized dynamic section');
  const table = await reader.bytes(dynamic.offset, dynamic.fileSize);
  const step = reader.bits === 64 ? 16 : 8;
  const names: { tag: number; at: number }[] = [];
  let stringTable: number | undefined;
  let stringSize: number | undefined;
  for (let at = 0; at + step <= table.length; at += step) {
    const tag = reader.word(table, at);
    const value = reader.word(table, at + step / 2);
    if (tag === DT_NULL) break;
    if (tag === DT_STRTAB) stringTable = value;
    else if (tag === DT_STRSZ) stringSize = value;
    else if ([DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH].includes(tag))
      names.push({ tag, at: value });
    if (names.length > maxNeeded) throw new ElfError('too many needed libraries');
  }
  if (names.length === 0) return;
  if (stringTable === undefined) throw new ElfError('a dynamic section without strings');
  const base = fileOffset(stringTable, segments);
  for (const { tag, at } of names) {
    if (stringSize !== undefined && at >= stringSize)
      throw new ElfError('a name outside of the string table');
    const name = await reader.string(base + at, maxString);
    if (tag === DT_NEEDED) info.needed.push(name);
    else if (tag === DT_SONAME) info.soname = name;
    else if (tag === DT_RPATH) info.rpath.push(...splitPath(name));
    else info.runpath.push(...splitPath(name));
  }
}

function fileOffset(address: number, segments: readonly Segment[]): number {
  for (const { type, offset, address: start, fileSize } of segments)
    if (type === PT_LOAD && address >= start && address - start < fileSize)
      return offset + (address - start);
  throw new ElfError('an address that no segment loads');
}

function splitPath(list: string): string[] {
  return list.split(':').filter((dir) => dir !== '');
}

function choose<T>(value: number | undefined, of: readonly [T, T], what: string): T {
  const chosen = value === 1 ? of[0] : value === 2 ? of[1] : undefined;
  if (chosen === undefined) throw new ElfError(`unknown ${what}`);
  return chosen;
}

/** Reads numbers of the file's class and byte order; every range is checked. */
class ElfReader {
  bits: 32 | 64 = 64;
  private little = true;

  constructor(private readonly source: RangeSource) {}

  setFormat(bits: 32 | 64, endian: 'little' | 'big'): void {
    this.bits = bits;
    this.little = endian === 'little';
  }

  async bytes(offset: number, length: number): Promise<Buffer> {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > this.source.size)
      throw new ElfError('a range outside of the file');
    const bytes = await this.source.read(offset, length);
    if (bytes.length !== length) throw new ElfError('a file shorter than its size');
    return bytes;
  }

  /** The NUL-terminated string at `offset`, at most `limit` bytes. */
  async string(offset: number, limit: number): Promise<string> {
    const length = Math.min(limit, maxString, this.source.size - offset);
    if (!(length > 0)) throw new ElfError('a name outside of the file');
    const bytes = await this.bytes(offset, length);
    const end = bytes.indexOf(0);
    if (end < 0 && length === maxString) throw new ElfError('an endless name');
    return bytes.toString('utf8', 0, end < 0 ? length : end);
  }

  u16(bytes: Buffer, at: number): number {
    return this.little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
  }

  u32(bytes: Buffer, at: number): number {
    return this.little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }

  /** An address-sized number; one beyond 2^53 stays a number that no range check accepts. */
  word(bytes: Buffer, at: number): number {
    if (this.bits === 32) return this.u32(bytes, at);
    return Number(this.little ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
  }
}
