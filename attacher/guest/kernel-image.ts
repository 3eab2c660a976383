import { Refusal } from '../refusal.js';
import type { PageTables } from './page-tables.js';

/**
 * Where x86-64 Linux maps itself: from __START_KERNEL_map for at most 1 GiB, then come the modules
 * (Documentation/arch/x86/x86_64/mm.rst).
 */
export const kernelStart = 0xffff_ffff_8000_0000n;
export const kernelEnd = 0xffff_ffff_c000_0000n;

/** More than any kernel's text and data; a hole this large in them ends the image. */
const longestImage = 256 * 2 ** 20;
const longestHole = 32 * 2 ** 20;

/** A copy of the kernel's text and data as the guest has them mapped; what is not mapped is zeros. */
export interface KernelImage {
  /** Virtual address of the first byte: the kernel's _text, wherever KASLR has put it. */
  start: bigint;
  /** A multiple of four bytes. */
  bytes: Uint8Array;
}

/** A kernel by what it says of itself. */
export interface KernelIdentity {
  /** Its release, as `uname -r` tells it. */
  version: string;
  /** Its GNU build id in hexadecimal; undefined where it was linked without one. */
  buildId: string | undefined;
  /** Where in the image the note with the build id starts. */
  noteOffset: number | undefined;
}

/** Where the parts of a kernel are in physical memory, by their offsets from its start. */
export class KernelMap {
  private constructor(
    readonly tables: PageTables,
    readonly start: bigint,
    /** Behind the last mapped byte. */
    readonly end: number,
    readonly parts: readonly { offset: number; physical: number; length: number }[],
  ) {}

  /** The kernel that `tables` map; undefined if nothing is mapped where a kernel would be. */
  static of(tables: PageTables): KernelMap | undefined {
    const parts: { offset: number; physical: number; length: number }[] = [];
    let start: bigint | undefined;
    let end = 0;
    for (const { virtual, physical, length } of tables.extents(kernelStart, kernelEnd)) {
      start ??= virtual;
      const offset = Number(virtual - start);
      if (offset - end > longestHole || offset >= longestImage) break;
      parts.push({ offset, physical, length: Math.min(length, longestImage - offset) });
      end = Math.min(offset + length, longestImage);
    }
    return start === undefined ? undefined : new KernelMap(tables, start, end, parts);
  }

  /** Whether the page at a guest-physical address is part of it. */
  holds(page: number): boolean {
    return this.parts.some(({ physical, length }) => page >= physical && page < physical + length);
  }

  /** Bytes at an offset; undefined if any is not mapped in the same piece, or outside memory. */
  read(offset: number, length: number): Uint8Array | undefined {
    const part = this.parts.findLast((each) => each.offset <= offset);
    if (part === undefined || offset + length > part.offset + part.length) return undefined;
    return this.tables.memory.read(part.physical + (offset - part.offset), length);
  }
}

/** Read a kernel, once. */
export function readKernelImage({ tables, start, end, parts }: KernelMap): KernelImage {
  const bytes = new Uint8Array(end);
  for (const { offset, physical, length } of parts) {
    const target = bytes.subarray(offset, offset + length);
    if (!tables.memory.readInto(physical, target)) target.fill(0);
  }
  return { start, bytes };
}

const banner = Buffer.from('Linux version ');

/** What kernel this is; undefined if it is no Linux. */
export function identifyKernel(image: KernelImage): KernelIdentity | undefined {
  const bytes = Buffer.from(image.bytes.buffer, image.bytes.byteOffset, image.bytes.length);
  const version = findVersion(bytes);
  if (version === undefined) return undefined;
  const noteOffset = findBuildIdNote(bytes);
  const buildId = noteOffset === undefined ? undefined : buildIdAt(bytes, noteOffset);
  return { version, buildId, noteOffset };
}

/** Releases before this one have another table of symbols. */
const oldest = { major: 5, minor: 4 };

/** Refuse kernels older than 5.4. */
export function checkVersion(version: string): void {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined || minor === undefined) {
    throw new Refusal('no-linux', `the guest’s kernel calls itself version "${version}"`);
  }
  const number = Number(major) * 1000 + Number(minor);
  if (number < oldest.major * 1000 + oldest.minor) {
    throw new Refusal('too-old', `the guest runs Linux ${version}`, {
      hint: `Linux ${oldest.major}.${oldest.minor} or later is needed`,
    });
  }
}

function findVersion(bytes: Buffer): string | undefined {
  let at = bytes.indexOf(banner);
  // The words stand in other places too (a format, a log); the banner has a number after them.
  for (let tries = 0; at >= 0 && tries < 1000; tries++) {
    const text = bytes.toString('latin1', at + banner.length, at + banner.length + 128);
    const version = /^\d+\.\d+[\x21-\x7e]*(?= )/.exec(text)?.[0];
    if (version !== undefined) return version;
    at = bytes.indexOf(banner, at + banner.length);
  }
  return undefined;
}

/** An ELF note: name of 4 bytes ("GNU"), description of 20, type 3 (NT_GNU_BUILD_ID). */
const noteHeader = Buffer.from([4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0]);
const buildIdLength = 20;
export const noteLength = noteHeader.length + buildIdLength;

/** The build id in the note that starts at `offset` of `bytes`, in hexadecimal; undefined if there is no such note. */
export function buildIdAt(bytes: Uint8Array, offset: number): string | undefined {
  if (offset < 0 || offset + noteLength > bytes.length) return undefined;
  const note = Buffer.from(bytes.buffer, bytes.byteOffset + offset, noteLength);
  if (note.compare(noteHeader, 0, noteHeader.length, 0, noteHeader.length) !== 0) return undefined;
  return note.toString('hex', noteHeader.length);
}

const elfMagic = Buffer.from('\x7fELF', 'latin1');
const pageLength = 4096;

/** A vDSO has its notes this near to its beginning. */
const vdsoPages = 4;

function findBuildIdNote(bytes: Buffer): number | undefined {
  let at = bytes.indexOf(noteHeader);
  for (let tries = 0; at >= 0 && tries < 1000; tries++) {
    if (at % 4 === 0 && at + noteLength <= bytes.length && !isInVdso(bytes, at)) return at;
    at = bytes.indexOf(noteHeader, at + 1);
  }
  return undefined;
}

/** Whether what is at `offset` belongs to an ELF file that the kernel holds for its processes: those have build ids too. */
function isInVdso(bytes: Buffer, offset: number): boolean {
  const page = offset - (offset % pageLength);
  for (let at = page; at >= 0 && at > page - vdsoPages * pageLength; at -= pageLength) {
    if (bytes.compare(elfMagic, 0, elfMagic.length, at, at + elfMagic.length) === 0) return true;
  }
  return false;
}
