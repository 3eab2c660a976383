import { KernelMap } from './kernel-image.js';
import type { PageTables } from './page-tables.js';

const pageSize = 4096;
/** What the linker fills code with between sections: int3, or nop (arch/x86/kernel/vmlinux.lds.S). */
const fillers = [0xcc, 0x90];
/** One byte of each so many is looked at first. */
const stride = 32 * pageSize;

/** Pages of a kernel's text in which no code is. */
export interface UnusedText {
  /** Virtual, in the kernel's text, and guest-physical. */
  virtual: bigint;
  physical: number;
  /** The byte of which they are full. */
  filler: number;
}

/**
 * `size` bytes (whole pages) of a kernel's text that are padding: the kernel keeps its entry code in
 * large pages of its own, so one to two megabytes beside it are never executed, read or freed
 * (ALIGN_ENTRY_TEXT_END in arch/x86/kernel/vmlinux.lds.S, since 4.19). On each side a page of padding
 * is left. Undefined where there are none.
 */
export function findUnusedText(tables: PageTables, size: number): UnusedText | undefined {
  const map = KernelMap.of(tables);
  if (map === undefined) return undefined;
  const most = size + 2 * pageSize;
  for (const { offset: partStart, length } of map.parts) {
    const end = partStart + length;
    for (let at = partStart; at + most <= end;) {
      const filler = map.read(at, 1)?.[0] ?? 0;
      const isLikely = fillers.includes(filler) && map.read(at + most - 1, 1)?.[0] === filler;
      if (!isLikely) {
        at += stride;
        continue;
      }
      const used = lastOther(map.read(at, most), filler);
      if (used === undefined) {
        const found = executable(tables, map.start + BigInt(at + pageSize), size);
        if (found !== undefined) return { ...found, filler };
      }
      at += (Math.floor((used ?? 0) / pageSize) + 1) * pageSize;
    }
  }
  return undefined;
}

/** Whether so many bytes there are padding still, or again, with a page of it on each side. */
export function isUnusedText(
  tables: PageTables,
  { virtual, physical, filler }: UnusedText,
  size: number,
): boolean {
  const found = executable(tables, virtual, size);
  if (found?.physical !== physical) return false;
  const sides = [
    tables.read(virtual - BigInt(pageSize), pageSize),
    tables.read(virtual + BigInt(size), pageSize),
  ];
  return sides.every((bytes) => bytes !== undefined && lastOther(bytes, filler) === undefined);
}

/** The place of pages that can be executed, in one piece; undefined where they are anything else. */
function executable(
  tables: PageTables,
  virtual: bigint,
  size: number,
): { virtual: bigint; physical: number } | undefined {
  const first = tables.translate(virtual);
  if (first === undefined) return undefined;
  for (let offset = 0; offset < size; offset += pageSize) {
    const page = tables.translate(virtual + BigInt(offset));
    if (page?.executable !== true || page.user || page.physical !== first.physical + offset) {
      return undefined;
    }
  }
  return { virtual, physical: first.physical };
}

/** Where the last byte is that is not `filler`; undefined if there is none. */
function lastOther(bytes: Uint8Array | undefined, filler: number): number | undefined {
  if (bytes === undefined) return 0;
  if (Buffer.alloc(bytes.length, filler).equals(bytes)) return undefined;
  return bytes.findLastIndex((byte) => byte !== filler);
}
