import { DebloatError } from '../../../analyzer/errors.js';
import type { ElfObject, ObjectSymbol } from './elf-object.js';
import { SectionType, damaged, readObject } from './elf-object.js';
import type { Layout, Segment } from './layout.js';
import { layOut, pageSize } from './layout.js';
import { relocate, throughTable } from './relocate.js';

/**
 * A linker for the guest stage: one relocatable object, placed at a virtual address of the guest,
 * its imports taken from the kernel's exported symbols. Imports are reached through a table of
 * addresses, as the kernel is more than 2 GiB away.
 */

export interface Import {
  readonly name: string;
  /** May be missing: its address is 0 then. */
  readonly weak: boolean;
}

export interface LinkedImage {
  /** Whole pages, to be placed at `base`. */
  readonly image: Uint8Array;
  readonly base: bigint;
  readonly segments: readonly Segment[];
  readonly imports: readonly Import[];
  /** The address of a global symbol that the object defines. */
  readonly entry: (name: string) => bigint;
}

function importsOf(object: ElfObject): Import[] {
  const found = new Map<string, Import>();
  for (const { symbol } of object.relocations) {
    if (symbol.place !== 'elsewhere' || symbol.name === '') continue;
    found.set(symbol.name, { name: symbol.name, weak: symbol.weak });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The symbols that `object` (a file's bytes) takes from elsewhere, by name. */
export function requiredImports(object: Uint8Array): Import[] {
  return importsOf(readObject(object));
}

function refuseMissing(imports: readonly Import[], symbols: ReadonlyMap<string, bigint>): void {
  const missing = imports.filter(({ name, weak }) => !weak && !symbols.has(name));
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name).join(', ');
  throw new DebloatError(
    `The guest's kernel does not export what the guest stage needs: ${names}.`,
    { hint: 'It was built without these functions, or is older than 5.10.' },
  );
}

function addressOf(
  symbol: ObjectSymbol,
  layout: Layout,
  base: bigint,
  symbols: ReadonlyMap<string, bigint>,
): bigint {
  if (symbol.place === 'absolute') return symbol.value;
  if (symbol.place === 'elsewhere') return symbols.get(symbol.name) ?? 0n;
  const offset = layout.offsets.get(symbol.place.section);
  if (offset === undefined) throw damaged(`${symbol.name} lies in a section that is not loaded`);
  return base + BigInt(offset) + symbol.value;
}

/**
 * Links `object` (a file's bytes) for the page-aligned address `base`.
 * @param symbols addresses of the kernel's exported symbols
 * @throws DebloatError if the file is damaged, or an import that is not weak is missing (named)
 */
export function link(
  object: Uint8Array,
  base: bigint,
  symbols: ReadonlyMap<string, bigint>,
): LinkedImage {
  if (base < 0n || base >= 1n << 64n || base % BigInt(pageSize) !== 0n) {
    throw new RangeError(`base must be the address of a page, not ${base}`);
  }
  const parsed = readObject(object);
  const imports = importsOf(parsed);
  refuseMissing(imports, symbols);

  const entries = new Map<ObjectSymbol, number>();
  for (const { type, symbol } of parsed.relocations) {
    if (throughTable(type) && !entries.has(symbol)) entries.set(symbol, entries.size);
  }
  const layout = layOut(parsed, entries.size);
  const image = new Uint8Array(layout.size);
  const view = new DataView(image.buffer);
  for (const [index, offset] of layout.offsets) {
    const section = parsed.sections[index];
    if (section && section.type !== SectionType.nobits) image.set(section.bytes, offset);
  }
  const address = (symbol: ObjectSymbol): bigint => addressOf(symbol, layout, base, symbols);
  for (const [symbol, entry] of entries) {
    view.setBigUint64(layout.tableOffset + 8 * entry, address(symbol), true);
  }
  for (const relocation of parsed.relocations) {
    const start = layout.offsets.get(relocation.section);
    const section = parsed.sections[relocation.section];
    if (start === undefined || !section) continue;
    const entry = entries.get(relocation.symbol);
    const target =
      throughTable(relocation.type) && entry !== undefined
        ? base + BigInt(layout.tableOffset + 8 * entry)
        : address(relocation.symbol);
    const at = start + relocation.offset;
    const room = section.bytes.length - relocation.offset;
    relocate(view, relocation, at, base + BigInt(at), target, room);
  }

  const defined = new Map(
    parsed.symbols
      .filter((symbol) => !symbol.local && symbol.place !== 'elsewhere')
      .map((symbol) => [symbol.name, symbol]),
  );
  return {
    image,
    base,
    segments: layout.segments,
    imports,
    entry: (name) => {
      const symbol = defined.get(name);
      if (!symbol) throw damaged(`it does not define ${name}`);
      return address(symbol);
    },
  };
}
