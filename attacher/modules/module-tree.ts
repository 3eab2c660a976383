import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DebloatError } from '../../analyzer/errors.js';
import { moduleName } from './module-info.js';

const isModule = /\.ko(\.(gz|xz|zst))?$/;

/** No module is larger, unpacked. */
const mostBytes = 512 * 2 ** 20;

/** A directory of kernel modules, such as a kernel's /lib/modules/VERSION. */
export class ModuleTree {
  private constructor(
    readonly directory: string,
    readonly files: ReadonlyMap<string, string>,
  ) {}

  /**
   * The modules of kernel `release` in `directory`: its own, or those of the tree in it that bears the
   * kernel's name. Throws DebloatError where there are none.
   */
  static open(directory: string, release: string): ModuleTree {
    if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
      throw new DebloatError(`There is no directory ${directory}.`);
    }
    const own = [join(directory, 'lib/modules', release), join(directory, release)];
    const place = own.find((each) => existsSync(each)) ?? directory;
    const files = new Map(pathsIn(place).map((path) => [nameOf(path), join(place, path)]));
    if (files.size === 0) {
      throw new DebloatError(`There are no kernel modules in ${directory}.`, {
        hint: `give the directory of the guest's kernel: /lib/modules/${release}, or a copy of it`,
      });
    }
    return new ModuleTree(place, files);
  }
}

/** By the list that depmod made, which knows which of two with one name counts; else all that are there. */
function pathsIn(directory: string): string[] {
  const list = join(directory, 'modules.dep');
  const listed = existsSync(list)
    ? readFileSync(list, 'utf8')
        .split('\n')
        .map((line) => line.slice(0, Math.max(0, line.indexOf(':'))))
        .filter((path) => isModule.test(path) && existsSync(join(directory, path)))
    : [];
  if (listed.length > 0) return listed;
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => isModule.test(path))
    .sort()
    .reverse();
}

function nameOf(path: string): string {
  return moduleName(basename(path).replace(isModule, ''));
}

/** The bytes of the module file at `path`, unpacked. Throws DebloatError where it cannot be. */
export function readModule(path: string): Uint8Array {
  try {
    if (path.endsWith('.gz')) return gunzipSync(readFileSync(path), { maxOutputLength: mostBytes });
    if (path.endsWith('.xz')) return unpack('xz', path);
    if (path.endsWith('.zst')) return unpack('zstd', path);
    return readFileSync(path);
  } catch (error) {
    if (error instanceof DebloatError) throw error;
    throw new DebloatError(`The kernel module ${path} cannot be read.`, { cause: error });
  }
}

function unpack(program: 'xz' | 'zstd', path: string): Uint8Array {
  try {
    return execFileSync(program, ['-dcq', '--', path], {
      maxBuffer: mostBytes,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new DebloatError(`${path} is compressed with ${program}, which is not installed.`, {
      hint: `apt install ${program === 'xz' ? 'xz-utils' : 'zstd'}`,
    });
  }
}
