import type { KernelImage } from './kernel-image.js';

/**
 * The kernel's table of symbols for modules (__ksymtab): entries of three signed 32-bit words, each
 * the distance from itself to the symbol, its name, and its namespace's name
 * (include/linux/export-internal.h, kernel/module/internal.h: struct kernel_symbol; the same from 5.4 to 7.2).
 * Its place is not told anywhere; it is known by its shape.
 */
export const entryLength = 12;

/** A symbol modules may use. */
export interface ExportedSymbol {
  name: string;
  address: bigint;
  /** Where in the image its entry is. */
  entry: number;
}

/** Symbols that share a namespace (most have none) point to one and the same string: so many in a row are a table. */
const shortestRun = 16;

/** More than any kernel exports, and longer than any name is (KSYM_NAME_LEN is 512). */
const mostSymbols = 100_000;
const longestName = 512;

/** Symbols of a processor's own data have an offset for an address, as long as that area starts at zero (before 6.15). */
const longestPerCpu = 2 ** 24;

/** All symbols the kernel in `image` exports, by name. Looks at every word once. */
export function findExportedSymbols(image: KernelImage): Map<string, ExportedSymbol> {
  const table = new Table(image);
  const symbols = new Map<string, ExportedSymbol>();
  for (const run of findRuns(table.words)) {
    for (const symbol of table.read(run)) {
      if (symbols.size === mostSymbols) return symbols;
      if (!symbols.has(symbol.name)) symbols.set(symbol.name, symbol);
    }
  }
  return symbols;
}

/** Entries in a row: offset of the first, and the offset after the last. */
interface Run {
  start: number;
  end: number;
}

/** Stretches where the third word of each entry points to the same place as that of the entry before. */
function findRuns(words: Int32Array): Run[] {
  const runs: Run[] = [];
  for (let phase = 0; phase < 3; phase++) {
    let start = phase;
    // A word that points to the same place from 12 bytes further on is 12 less.
    let expected = 0;
    for (let at = phase; at < words.length; at += 3) {
      const word = words[at] ?? 0;
      if (word !== expected) {
        if (at - start >= 3 * shortestRun) runs.push(runOf(start, at));
        start = at;
      }
      expected = word - entryLength;
    }
    if (words.length - start >= 3 * shortestRun) runs.push(runOf(start, words.length));
  }
  return runs.sort((a, b) => a.start - b.start);
}

/** From indices of third words to byte offsets of entries. */
function runOf(first: number, afterLast: number): Run {
  const entries = Math.ceil((afterLast - first) / 3);
  const start = (first - 2) * 4;
  return { start: Math.max(0, start), end: start + entries * entryLength };
}

class Table {
  readonly words: Int32Array;
  readonly #bytes: Buffer;
  readonly #start: bigint;
  /** The entries up to here were read. */
  #done = 0;

  constructor({ bytes, start }: KernelImage) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    this.#start = start;
  }

  /** The symbols of a run and of the entries around it, which have other namespaces; none if it is no table. */
  read(run: Run): ExportedSymbol[] {
    if (run.end <= this.#done) return [];
    const found = this.#readDown(run.start);
    const before = found.length;
    let at = run.start;
    for (let symbol = this.#entry(at); symbol; symbol = this.#entry((at += entryLength))) {
      found.push(symbol);
      if (found.length > mostSymbols) break;
    }
    if (found.length - before < shortestRun / 2) return [];
    this.#done = at;
    return found;
  }

  /** Entries that end where the one at `offset` starts, not read yet, in ascending order. */
  #readDown(offset: number): ExportedSymbol[] {
    const found: ExportedSymbol[] = [];
    for (let at = offset - entryLength; at >= this.#done; at -= entryLength) {
      const symbol = this.#entry(at);
      if (symbol === undefined || found.length > mostSymbols) break;
      found.push(symbol);
    }
    return found.reverse();
  }

  #entry(offset: number): ExportedSymbol | undefined {
    if (offset < 0 || offset + entryLength > this.#bytes.length) return undefined;
    const index = offset / 4;
    const name = this.#text(offset + 4 + (this.words[index + 1] ?? 0), isNameByte);
    if (name === undefined) return undefined;
    const namespace = offset + 8 + (this.words[index + 2] ?? 0);
    if (this.#bytes[namespace] !== 0 && this.#text(namespace, isPrintable) === undefined) {
      return undefined;
    }
    const value = offset + (this.words[index] ?? 0);
    const address = BigInt.asUintN(64, this.#start + BigInt(value));
    const inImage = value >= 0 && value < this.#bytes.length;
    if (!inImage && address >= longestPerCpu) return undefined;
    return { name, address, entry: offset };
  }

  /** The text at `offset`, if it is one of such bytes. */
  #text(offset: number, isPart: Uint8Array): string | undefined {
    if (offset < 0 || offset >= this.#bytes.length) return undefined;
    let end = offset;
    while (isPart[this.#bytes[end] ?? 0]) {
      if (++end - offset > longestName) return undefined;
    }
    if (end === offset || this.#bytes[end] !== 0) return undefined;
    return this.#bytes.toString('latin1', offset, end);
  }
}

const bytesLike = (pattern: RegExp) =>
  Uint8Array.from({ length: 256 }, (_, byte) => Number(pattern.test(String.fromCharCode(byte))));

/** What names of symbols are made of, and those of namespaces: "module:kvm,kvm-*" is one. */
const isNameByte = bytesLike(/[\w.$]/);
const isPrintable = bytesLike(/[!-~]/);
