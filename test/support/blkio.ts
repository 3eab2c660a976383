import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The directory of Debian trixie's programs for the host or for a guest (test/vm/get-tools.sh), fetched if need be. */
export function debianTools(which: 'host' | 'guest'): string {
  const cache = process.env['DEBLOAT_TEST_CACHE'] ?? join(homedir(), '.cache', 'debloat-test');
  const directory = join(cache, 'tools', which);
  mkdirSync(directory, { recursive: true });
  execFileSync('sh', [here('../vm/get-tools.sh'), which, directory], { stdio: 'inherit' });
  return directory;
}

/** The command line that runs `program` with the C library and all others of Debian trixie. */
export function withDebianLibraries(program: string, args: string[]): [string, string[]] {
  const libraries = librariesOf(debianTools('host'));
  const loader = execFileSync('sh', ['-c', 'ls "$0"/ld-linux-*.so.*', libraries]);
  return [loader.toString().trim(), ['--library-path', libraries, program, ...args]];
}

/** qemu-storage-daemon of Debian trixie. */
export function storageDaemon(): string {
  return join(debianTools('host'), 'root/usr/bin/qemu-storage-daemon');
}

/** Compile test/fixtures/blkio/NAME.c into `directory`; run it by `withDebianLibraries`. */
export function compileClient(name: string, directory: string): string {
  const root = join(debianTools('host'), 'root');
  const program = join(directory, name);
  execFileSync('cc', [
    ...['-O2', '-Wall', '-Werror', '-o', program, here(`../fixtures/blkio/${name}.c`)],
    ...['-I', join(root, 'usr/include'), '-L', librariesOf(debianTools('host')), '-lblkio'],
    '-Wl,--allow-shlib-undefined',
  ]);
  return program;
}

function librariesOf(tools: string): string {
  const machine = process.arch === 'x64' ? 'x86_64' : 'aarch64';
  return join(tools, 'root/usr/lib', `${machine}-linux-gnu`);
}
