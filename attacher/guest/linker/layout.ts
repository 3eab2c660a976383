import type { ElfObject, Section } from './elf-object.js';
import { SectionFlag, damaged } from './elf-object.js';

/** Where everything of an object goes in its image. */

export const pageSize = 4096;

/** The section that gets pages of its own, after everything else. */
export const controlSection = '.control';

/** A run of whole pages with the same rights. */
export interface Segment {
  /** Bytes from the image's start, and its length: multiples of the page size. */
  readonly offset: number;
  readonly size: number;
  readonly writable: boolean;
  readonly executable: boolean;
}

export interface Layout {
  /** By section index: the offset in the image, for sections that are loaded. */
  readonly offsets: ReadonlyMap<number, number>;
  /** Of the table of addresses (8 bytes each). */
  readonly tableOffset: number;
  readonly size: number;
  readonly segments: readonly Segment[];
}

function alignUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

type Kind = 'code' | 'constant' | 'data' | 'control';

function kindOf(section: Section): Kind | undefined {
  if (!(section.flags & SectionFlag.alloc)) return undefined;
  if (section.flags & SectionFlag.tls) throw damaged(`${section.name} is for threads`);
  if (section.name === controlSection) return 'control';
  const writable = (section.flags & SectionFlag.write) !== 0;
  if (section.flags & SectionFlag.execute) {
    if (writable) throw damaged(`${section.name} is both code and data`);
    return 'code';
  }
  return writable ? 'data' : 'constant';
}

/** Code first, then constants and the table of `tableEntries` addresses, data, the control block. */
export function layOut(object: ElfObject, tableEntries: number): Layout {
  const offsets = new Map<number, number>();
  const segments: Segment[] = [];
  let end = 0;
  let tableOffset = 0;
  for (const kind of ['code', 'constant', 'data', 'control'] as const) {
    const start = end;
    for (const [index, section] of object.sections.entries()) {
      if (kindOf(section) !== kind) continue;
      const offset = alignUp(end, section.align);
      offsets.set(index, offset);
      end = offset + section.size;
    }
    if (kind === 'constant') {
      tableOffset = alignUp(end, 8);
      end = tableOffset + 8 * tableEntries;
    }
    end = alignUp(end, pageSize);
    if (end > start) {
      segments.push({
        offset: start,
        size: end - start,
        writable: kind === 'data' || kind === 'control',
        executable: kind === 'code',
      });
    }
  }
  return { offsets, tableOffset, size: end, segments };
}
