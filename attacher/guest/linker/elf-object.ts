import { DebloatError } from '../../../analyzer/errors.js';

/**
 * Reads a relocatable ELF64 file of x86-64 (System V ABI, chapter 4), as `ld -r` writes it.
 * Everything that points somewhere is checked here, so that what follows may trust it.
 */

export const SectionType = {
  progbits: 1,
  symtab: 2,
  strtab: 3,
  rela: 4,
  nobits: 8,
  rel: 9,
} as const;
export const SectionFlag = { write: 1, alloc: 2, execute: 4, tls: 0x400 } as const;

export interface Section {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** Bytes, in the file or (nobits) only in memory. */
  readonly size: number;
  /** A power of two, 4,096 at most. */
  readonly align: number;
  readonly link: number;
  readonly info: number;
  /** The file's bytes; empty for nobits. */
  readonly bytes: Uint8Array;
}

/** Where a symbol is: in a section by its index, a fixed number, or some other object's. */
export type Place = { section: number } | 'absolute' | 'elsewhere';

export interface ObjectSymbol {
  readonly name: string;
  readonly weak: boolean;
  readonly local: boolean;
  readonly place: Place;
  /** Offset in its section, or the number itself. */
  readonly value: bigint;
}

export interface Relocation {
  /** Of the section that is patched, and where in it. */
  readonly section: number;
  readonly offset: number;
  readonly type: number;
  readonly symbol: ObjectSymbol;
  readonly addend: bigint;
}

export interface ElfObject {
  readonly sections: readonly Section[];
  readonly symbols: readonly ObjectSymbol[];
  /** Of sections that are loaded. */
  readonly relocations: readonly Relocation[];
}

const headerSize = 64;
const sectionEntry = 64;
const symbolEntry = 24;
const relaEntry = 24;
const mostSections = 1024;
const mostMemory = 16 * 1024 * 1024;
const reserved = { undefined: 0, first: 0xff00, absolute: 0xfff1 } as const;

/** The error for bytes that no build of ours wrote. */
export function damaged(what: string): DebloatError {
  return new DebloatError(`The guest stage is damaged: ${what}.`, {
    hint: 'Build it again: npm run build',
  });
}

function within(what: string, offset: number, size: number, limit: number): void {
  if (offset > limit || size > limit - offset) {
    throw damaged(`${what} reaches past its end (${offset} + ${size} of ${limit} bytes)`);
  }
}

/** A number of 8 bytes that must be an offset or size in something of `limit` bytes. */
function bounded(view: DataView, at: number, limit: number, what: string): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(limit)) throw damaged(`${what} is ${value}, more than ${limit}`);
  return Number(value);
}

function text(table: Uint8Array, offset: number): string {
  const end = table.indexOf(0, offset);
  if (offset >= table.length || end < 0) throw damaged('a name lies outside its table');
  return Buffer.from(table.buffer, table.byteOffset + offset, end - offset).toString('latin1');
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function checkHeader(file: Uint8Array, view: DataView): void {
  if (file.length < headerSize) throw damaged(`it has only ${file.length} bytes`);
  if (view.getUint32(0) !== 0x7f454c46) throw damaged('it is no ELF file');
  if (file[4] !== 2 || file[5] !== 1) throw damaged('it is no 64-bit little-endian file');
  if (view.getUint16(16, true) !== 1) throw damaged('it is not relocatable');
  if (view.getUint16(18, true) !== 62) throw damaged('it is not for x86-64');
}

function readSections(file: Uint8Array, view: DataView): Section[] {
  const table = bounded(view, 40, file.length, 'the section table’s offset');
  const count = view.getUint16(60, true);
  if (view.getUint16(58, true) !== sectionEntry)
    throw damaged('its section entries have odd sizes');
  if (count === 0 || count > mostSections) throw damaged(`it has ${count} sections`);
  within('the section table', table, count * sectionEntry, file.length);
  const nameTable = view.getUint16(62, true);
  let memory = 0;
  const raw = Array.from({ length: count }, (_, index) => {
    const at = table + index * sectionEntry;
    const type = view.getUint32(at + 4, true);
    const what = `section ${index}`;
    const size = bounded(view, at + 32, mostMemory, `the size of ${what}`);
    const inFile = type === SectionType.nobits || type === 0 ? 0 : size;
    const offset = inFile === 0 ? 0 : bounded(view, at + 24, file.length, `the offset of ${what}`);
    within(what, offset, inFile, file.length);
    memory += size;
    if (memory > mostMemory) throw damaged(`its sections take more than ${mostMemory} bytes`);
    const align = Math.max(1, bounded(view, at + 48, 4096, `the alignment of ${what}`));
    if ((align & (align - 1)) !== 0) throw damaged(`the alignment of ${what} is ${align}`);
    return {
      nameAt: view.getUint32(at, true),
      type,
      flags: Number(BigInt.asUintN(32, view.getBigUint64(at + 8, true))),
      size,
      align,
      link: view.getUint32(at + 40, true),
      info: view.getUint32(at + 44, true),
      bytes: file.subarray(offset, offset + inFile),
    };
  });
  const names = raw[nameTable];
  if (names?.type !== SectionType.strtab) throw damaged('it has no names of sections');
  return raw.map(({ nameAt, ...section }) => ({ name: text(names.bytes, nameAt), ...section }));
}

function placeOf(index: number, value: bigint, sections: readonly Section[]): Place {
  if (index === reserved.undefined) return 'elsewhere';
  if (index === reserved.absolute) return 'absolute';
  const section = sections[index];
  if (index >= reserved.first || !section) throw damaged(`a symbol lies in section ${index}`);
  if (value > BigInt(section.size)) throw damaged(`a symbol lies past the end of ${section.name}`);
  return { section: index };
}

function readSymbols(table: Section, sections: readonly Section[]): ObjectSymbol[] {
  const names = sections[table.link];
  if (names?.type !== SectionType.strtab) throw damaged('it has no names of symbols');
  if (table.size % symbolEntry !== 0) throw damaged('its symbol table ends within an entry');
  const view = viewOf(table.bytes);
  return Array.from({ length: table.size / symbolEntry }, (_, index) => {
    const at = index * symbolEntry;
    const value = view.getBigUint64(at + 8, true);
    const binding = view.getUint8(at + 4) >> 4;
    return {
      name: text(names.bytes, view.getUint32(at, true)),
      weak: binding === 2,
      local: binding === 0,
      place: placeOf(view.getUint16(at + 6, true), value, sections),
      value,
    };
  });
}

function readRelocations(
  table: Section,
  sections: readonly Section[],
  symbols: readonly ObjectSymbol[],
): Relocation[] {
  const target = sections[table.info];
  if (!target) throw damaged(`${table.name} is for section ${table.info}`);
  if (!(target.flags & SectionFlag.alloc)) return [];
  if (table.size % relaEntry !== 0) throw damaged(`${table.name} ends within an entry`);
  const view = viewOf(table.bytes);
  return Array.from({ length: table.size / relaEntry }, (_, index) => {
    const at = index * relaEntry;
    const number = view.getUint32(at + 12, true);
    const symbol = symbols[number];
    if (!symbol) throw damaged(`${table.name} names symbol ${number}`);
    return {
      section: table.info,
      offset: bounded(view, at, target.bytes.length, `an offset in ${table.name}`),
      type: view.getUint32(at + 8, true),
      symbol,
      addend: view.getBigInt64(at + 16, true),
    };
  });
}

/** Parses `file`; throws a DebloatError that says what is wrong with it. */
export function readObject(file: Uint8Array): ElfObject {
  const view = viewOf(file);
  checkHeader(file, view);
  const sections = readSections(file, view);
  const tables = sections.filter(({ type }) => type === SectionType.symtab);
  const [table] = tables;
  if (tables.length !== 1 || !table) throw damaged(`it has ${tables.length} symbol tables`);
  if (sections.some(({ type }) => type === SectionType.rel)) {
    throw damaged('it has relocations without addends');
  }
  const symbols = readSymbols(table, sections);
  const relocations = sections
    .filter(({ type }) => type === SectionType.rela)
    .flatMap((rela) => readRelocations(rela, sections, symbols));
  return { sections, symbols, relocations };
}
