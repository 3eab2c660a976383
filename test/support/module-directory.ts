import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { kernelOf, kernelRelease, type Suite } from '../vm/kernel.js';

/** Files that hold the kernel's modules, unpacked, by their names in it. */
function modulesOf(suite: Suite): Map<string, string> {
  const tree = join(kernelOf(suite), 'modules');
  return new Map(
    readdirSync(tree, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ko'))
      .map((path) => [basename(path, '.ko').replaceAll('-', '_'), join(tree, path)]),
  );
}

const packers: [string, (path: string) => void][] = [
  ['plain', () => undefined],
  ['xz', (path) => execFileSync('xz', ['-0', path])],
  ['zstd', (path) => execFileSync('zstd', ['-q', '--rm', path])],
  [
    'gzip',
    (path) => {
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)));
      rmSync(path);
    },
  ],
];

/**
 * Some modules of the kernel of `suite` below `directory`, as distributions have them in
 * lib/modules: each file packed another way than the one before. The names of what is there.
 */
export function makeModuleDirectory(directory: string, suite: Suite, names: string[]): string[] {
  const all = modulesOf(suite);
  const there = names.filter((name) => all.has(name));
  there.forEach((name, n) => {
    const path = all.get(name) ?? '';
    const copy = join(directory, 'lib/modules', kernelRelease(suite), 'kernel', basename(path));
    mkdirSync(dirname(copy), { recursive: true });
    cpSync(path, copy);
    packers[n % packers.length]?.[1](copy);
  });
  return there;
}
