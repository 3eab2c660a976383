import { closeSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Addresses of the symbols that a kernel exports, without those of its modules. */
export type Symbols = Map<string, bigint>;

/** The exported symbols in the text of /proc/kallsyms: those that have an entry __ksymtab_NAME (EXPORT_SYMBOL). */
export function exportedSymbols(kallsyms: string): Symbols {
  const exported = new Set<string>();
  const global: Symbols = new Map();
  const local: Symbols = new Map();
  for (const [, address, type = '', name = ''] of kallsyms.matchAll(
    /^([0-9a-f]{16}) (\S) (\S+)$/gm,
  )) {
    if (name.startsWith('__ksymtab_')) exported.add(name.slice('__ksymtab_'.length));
    // Several files can have a static function of this name; only a global symbol is exported by it.
    else (type === type.toUpperCase() ? global : local).set(name, BigInt(`0x${address ?? ''}`));
  }
  return new Map(
    [...exported].flatMap((name) => {
      const address = global.get(name) ?? local.get(name);
      return address === undefined ? [] : [[name, address]];
    }),
  );
}

/** An empty file that a guest can write its /proc/kallsyms to as a disk. */
export function kallsymsDisk(directory: string): string {
  const path = join(directory, 'kallsyms');
  const file = openSync(path, 'w');
  ftruncateSync(file, 64 << 20);
  closeSync(file);
  return path;
}

/** What a guest has written to its kallsymsDisk(). */
export function readKallsyms(path: string): string {
  const content = readFileSync(path);
  return content.toString('latin1', 0, content.indexOf(0));
}
