import { copyFile, readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import { runTool } from '../run-tool.js';
import type { OverlayFormat } from '../types.js';
import { moduleInfo, moduleName } from './module-info.js';

export interface KernelModule {
  name: string;
  /** The ELF file, uncompressed. */
  content: Buffer;
}

export interface FoundModules {
  /** In the order in which they are to be loaded. */
  modules: KernelModule[];
  /** One sentence for each thing that the machine will lack. */
  warnings: string[];
}

export interface ModuleRequest {
  /** As /lib/modules/RELEASE, or the directory above. */
  dir: string;
  /** The kernel's, where it is known. */
  release: string | undefined;
  root: OverlayFormat;
  workspace: Workspace;
  signal?: AbortSignal | undefined;
}

const suffixes = /\.ko(\.gz|\.xz|\.zst)?$/;

/** What a machine lacks without a module. */
const wanted = {
  virtio_net: 'it has no network',
  button: 'it does not hear the power button: end it by a signal or from inside',
};

/**
 * The modules that a microVM needs to reach its root disk, its network and its power button, from the
 * modules of its kernel. Throws a DebloatError if one that it cannot do without is neither there nor
 * built in, or they are of another kernel.
 */
export async function findModules(request: ModuleRequest): Promise<FoundModules> {
  const { root } = request;
  const dir = await modulesDirectory(request);
  const files = await moduleFiles(dir);
  const builtIn = await builtInModules(dir);
  const loader = new Loader(request, files);
  const isThere = (name: string): boolean => files.has(name) || builtIn.has(name);

  const transports = ['virtio_pci', 'virtio_mmio'];
  if (!transports.some(isThere)) throw missing('virtio_pci', dir, builtIn.size > 0);
  const needed = ['virtio_blk', root, ...(root === 'ext4' ? [] : ['overlay'])];
  for (const name of needed) if (!isThere(name)) throw missing(name, dir, builtIn.size > 0);
  const helpful = ['crc32c_generic', 'ipv6', ...Object.keys(wanted)];
  for (const name of [...transports, 'crc32c_generic', ...needed, ...helpful])
    await loader.add(name);
  const lacking = Object.entries(wanted).filter(([name]) => !isThere(name));
  return {
    modules: loader.modules(),
    warnings: lacking.map(
      ([name, effect]) => `The microVM's kernel has no module ${name}: ${effect}.`,
    ),
  };
}

/** Collects modules, those that one depends on before it. */
class Loader {
  readonly #request: ModuleRequest;
  readonly #files: ReadonlyMap<string, string>;
  readonly #found = new Map<string, Buffer>();
  readonly #entered = new Set<string>();

  constructor(request: ModuleRequest, files: ReadonlyMap<string, string>) {
    this.#request = request;
    this.#files = files;
  }

  async add(name: string): Promise<void> {
    const file = this.#files.get(name);
    if (file === undefined || this.#entered.has(name)) return;
    this.#entered.add(name);
    const content = await readModule(file, this.#request);
    const { depends, release } = moduleInfo(content);
    requireRelease(file, release, this.#request.release);
    for (const dependency of depends) await this.add(dependency);
    this.#found.set(name, content);
  }

  modules(): KernelModule[] {
    return [...this.#found].map(([name, content]) => ({ name, content }));
  }
}

/** `dir` itself, or its one subdirectory (that of the kernel's release) where it is /lib/modules. */
async function modulesDirectory({ dir, release }: ModuleRequest): Promise<string> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    throw new DebloatError(`the kernel's modules ${dir} cannot be read: ${messageOf(error)}`, {
      hint: 'give the directory /lib/modules/RELEASE of the kernel with --vm-modules',
      cause: error,
    });
  }
  return release !== undefined && names.includes(release) ? join(dir, release) : dir;
}

async function moduleFiles(dir: string): Promise<Map<string, string>> {
  const paths = await readdir(dir, { recursive: true });
  const modules = paths.filter((path) => suffixes.test(path)).sort();
  return new Map(
    modules.map((path) => [moduleName(basename(path).replace(suffixes, '')), join(dir, path)]),
  );
}

async function builtInModules(dir: string): Promise<Set<string>> {
  const list = await readFile(join(dir, 'modules.builtin'), 'utf8').catch(() => '');
  const paths = list.split('\n').filter(Boolean);
  return new Set(paths.map((path) => moduleName(basename(path, '.ko'))));
}

// The kernel could decompress them itself, if it was built so.
async function readModule(
  file: string,
  { workspace, signal }: Pick<ModuleRequest, 'workspace' | 'signal'>,
): Promise<Buffer> {
  const suffix = suffixes.exec(file)?.[1];
  if (suffix === undefined) return readFile(file);
  if (suffix === '.gz') return gunzipSync(await readFile(file));
  const dir = await workspace.directory('module');
  const copy = join(dir, `module.ko${suffix}`);
  await copyFile(file, copy);
  const tool = suffix === '.xz' ? 'xz' : 'zstd';
  await runTool(tool, ['-d', '-q', copy], {
    workspace,
    signal,
    makes: `the kernel module ${basename(file)}`,
  });
  const content = await readFile(join(dir, 'module.ko'));
  await rm(dir, { recursive: true });
  return content;
}

function requireRelease(file: string, release: string, kernel: string | undefined): void {
  if (kernel === undefined || release === kernel) return;
  throw new DebloatError(
    `the module ${file} is for the kernel ${release || '(unknown)'}, not for ${kernel}`,
    {
      hint: `give the modules of this kernel with --vm-modules, for example /lib/modules/${kernel}`,
    },
  );
}

function missing(name: string, dir: string, knowsBuiltIn: boolean): DebloatError {
  return new DebloatError(`the microVM's kernel module ${name} is not in ${dir}`, {
    hint: knowsBuiltIn
      ? 'the kernel does not have it built in, either: take another kernel, or another --vm-root'
      : 'if the kernel has it built in, its file modules.builtin belongs there too',
  });
}
