import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { entryLength, type ExportedSymbol } from './export-table.js';
import { buildIdAt, noteLength, type KernelIdentity, type KernelMap } from './kernel-image.js';

/** A kernel that was looked through, at the addresses of one boot. */
export interface FoundKernel extends KernelIdentity {
  textStart: bigint;
  symbols: ExportedSymbol[];
}

/** What is known of a kernel. */
export interface KnownKernel extends KernelIdentity {
  textStart: bigint;
  /** Addresses by name. */
  symbols: Map<string, bigint>;
}

/** Many numbers, checked at once: a schema for each would take longer than all the rest. */
const integers = z.custom<number[]>(
  (value) => Array.isArray(value) && value.every(Number.isSafeInteger),
);

/** As a file: addresses are relative to the kernel's start, for KASLR moves it at every boot. */
const fileShape = z.object({
  format: z.literal(1),
  version: z.string(),
  /** Names in the order of the other lists, separated by newlines. */
  names: z.string(),
  offsets: integers,
  /** Indices of those whose offset is an address of its own, which KASLR does not move (per-processor data). */
  absolute: integers,
  entries: integers,
});

/** Entries that are compared with the guest before a file is believed. */
const sampleSize = 64;

/** More kernels than one machine's guests have; older ones are looked for again. */
const mostFiles = 64;

/** `$XDG_CACHE_HOME/debloat`; without that variable /var/cache/debloat for root, ~/.cache/debloat for others. */
export function defaultCacheDirectory(environment = process.env): string {
  const cache = environment['XDG_CACHE_HOME'];
  if (cache?.startsWith('/')) return join(cache, 'debloat');
  return process.geteuid?.() === 0 ? '/var/cache/debloat' : join(homedir(), '.cache', 'debloat');
}

/**
 * Kernels' symbols on disk. A file is named by the build id and where in the kernel its note is, so
 * that a guest's kernel is recognised by one small read per file. A cache never fails: what cannot
 * be read is found again, what cannot be written is not kept.
 */
export class SymbolCache {
  constructor(readonly directory: string) {}

  /** The kernel that `map` shows, if it is known and the guest's memory agrees. */
  find(map: KernelMap): KnownKernel | undefined {
    for (const { file, buildId, noteOffset } of this.#files()) {
      const note = map.read(noteOffset, noteLength);
      if (note === undefined || buildIdAt(note, 0) !== buildId) continue;
      const kernel = this.#load(file, map);
      if (kernel) return { ...kernel, buildId, noteOffset };
      rmSync(join(this.directory, file), { force: true });
    }
    return undefined;
  }

  /** Keep `kernel`, if it can be recognised again. */
  store(kernel: FoundKernel): void {
    const { buildId, noteOffset, textStart, version, symbols } = kernel;
    if (buildId === undefined || noteOffset === undefined || symbols.length === 0) return;
    const moving = symbols.map(({ address }) => address >= textStart);
    const content = JSON.stringify({
      format: 1,
      version,
      names: symbols.map(({ name }) => name).join('\n'),
      offsets: symbols.map(({ address }, n) => Number(moving[n] ? address - textStart : address)),
      absolute: moving.flatMap((moves, n) => (moves ? [] : [n])),
      entries: symbols.map(({ entry }) => entry),
    });
    const path = join(this.directory, `${buildId}-${noteOffset.toString(16)}.json`);
    try {
      mkdirSync(this.directory, { recursive: true, mode: 0o700 });
      const temporary = `${path}.${process.pid}`;
      writeFileSync(temporary, content, { mode: 0o600 });
      renameSync(temporary, path);
    } catch {
      return;
    }
  }

  #files(): { file: string; buildId: string; noteOffset: number }[] {
    let names: string[];
    try {
      names = readdirSync(this.directory);
    } catch {
      return [];
    }
    return names
      .flatMap((file) => {
        const [, buildId, offset] = /^([0-9a-f]{40})-([0-9a-f]{1,8})\.json$/.exec(file) ?? [];
        if (buildId === undefined || offset === undefined) return [];
        return [{ file, buildId, noteOffset: parseInt(offset, 16) }];
      })
      .slice(0, mostFiles);
  }

  /** The kernel of a file; undefined if the guest's table has not these symbols: a sample over its length is compared. */
  #load(
    file: string,
    map: KernelMap,
  ): Pick<KnownKernel, 'version' | 'textStart' | 'symbols'> | undefined {
    try {
      const content: unknown = JSON.parse(readFileSync(join(this.directory, file), 'utf8'));
      const { version, names: text, offsets, absolute, entries } = fileShape.parse(content);
      const names = text.split('\n');
      const textStart = map.start;
      const symbols = new Map<string, bigint>();
      for (let n = 0; n < names.length; n++) {
        symbols.set(names[n] ?? '', textStart + BigInt(offsets[n] ?? 0));
      }
      for (const n of absolute) symbols.set(names[n] ?? '', BigInt(offsets[n] ?? 0));
      const step = Math.max(1, Math.floor(names.length / sampleSize));
      const agrees = (n: number) => {
        const name = names[n] ?? '';
        return isThere({ name, address: symbols.get(name) ?? 0n, entry: entries[n] ?? 0 }, map);
      };
      for (let n = 0; n < names.length; n += step) if (!agrees(n)) return undefined;
      return agrees(names.length - 1) ? { version, textStart, symbols } : undefined;
    } catch {
      return undefined;
    }
  }
}

function isThere({ name, address, entry }: ExportedSymbol, map: KernelMap): boolean {
  const words = map.read(entry, entryLength);
  if (words === undefined) return false;
  const view = new DataView(words.buffer);
  const value = map.start + BigInt(entry + view.getInt32(0, true));
  const expected = Buffer.from(`${name}\0`, 'latin1');
  const bytes = map.read(entry + 4 + view.getInt32(4, true), expected.length);
  return BigInt.asUintN(64, value) === address && bytes !== undefined && expected.equals(bytes);
}
