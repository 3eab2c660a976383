import { joinPath, normalizePath, parentOf, type ImagePath } from '../image/path.js';
import type { Node, Tree } from '../image/types.js';
import type { ElfInfo } from './elf.js';
import type { Environment } from './environment.js';
import type { ImageFiles } from './image-files.js';
import { architectureOf, defaultDirectories } from './library-directories.js';
import { childrenOf, glob } from './tree-walk.js';

/** A library as the dynamic loader finds it. */
export interface Library {
  /** As asked for: the DT_NEEDED string. */
  name: string;
  /** Where the search found it; may be a symlink. */
  path: ImagePath;
  node: Node;
  /** Builds of the same library for newer processors (`glibc-hwcaps/x86-64-v3`, …). */
  variants: ImagePath[];
}

export interface Dependencies {
  interpreter?: ImagePath;
  libraries: Library[];
  /** DT_RPATH directories that the libraries inherit from this object (ld.so(8)). */
  inherited: readonly string[];
}

const nothing: Dependencies = { libraries: [], inherited: [] };

/**
 * The search of ld.so(8), over the image's tree: DT_RPATH (inherited, unless there is a DT_RUNPATH),
 * LD_LIBRARY_PATH, DT_RUNPATH, ld.so.conf (whose cache it stands for), default directories; and of
 * musl's loader, which reads `/etc/ld-musl-ARCH.path` instead.
 */
export class Loader {
  private configured: Promise<string[]> | undefined;
  private readonly muslOnly: boolean;

  constructor(
    private readonly tree: Tree,
    private readonly files: ImageFiles,
    private readonly environment: Environment,
  ) {
    this.muslOnly =
      glob(tree, '/lib/ld-musl-*').length > 0 && glob(tree, '/lib*/ld-linux*').length === 0;
  }

  /**
   * What `object` needs directly. `origins` are the directories that $ORIGIN may stand for,
   * `inherited` the DT_RPATH directories of the objects that loaded it.
   */
  async dependencies(
    object: Node,
    origins: readonly ImagePath[] = [parentOf(object.path)],
    inherited: readonly string[] = [],
  ): Promise<Dependencies> {
    const elf = await this.files.elf(object);
    if (elf === undefined) return nothing;
    const expand = (dirs: readonly string[]): string[] =>
      dirs.flatMap((dir) => expandTokens(dir, elf, origins));
    const own = elf.runpath.length > 0 ? [] : expand(elf.rpath);
    const rpath = elf.runpath.length > 0 ? [] : [...own, ...inherited];
    const directories = [
      ...rpath,
      ...this.environment.libraryPath,
      ...expand(elf.runpath),
      ...(await this.systemDirectories(elf)),
    ];
    const libraries: Library[] = [];
    for (const name of elf.needed) {
      const library = await this.find(name, directories, elf, origins);
      if (library !== undefined) libraries.push(library);
    }
    return {
      ...(elf.interpreter === undefined ? {} : { interpreter: normalizePath(elf.interpreter) }),
      libraries,
      inherited: [...own, ...inherited],
    };
  }

  /** `object` and everything it needs, however indirectly; each node once. */
  async closure(object: Node): Promise<Set<Node>> {
    const reached = new Set([object]);
    const visit = async (node: Node, inherited: readonly string[]): Promise<void> => {
      const found = await this.dependencies(node, undefined, inherited);
      for (const { node: library } of found.libraries) {
        if (reached.has(library)) continue;
        reached.add(library);
        await visit(library, found.inherited);
      }
    };
    await visit(object, []);
    return reached;
  }

  /** A library that a program opens by its bare name with dlopen(3), searched for as `like` would. */
  async findByName(name: string, like: Node): Promise<Library | undefined> {
    const elf = await this.files.elf(like);
    if (elf === undefined) return undefined;
    const system = await this.systemDirectories(elf);
    return this.find(
      name,
      [parentOf(like.path), ...this.environment.libraryPath, ...system],
      elf,
      [],
    );
  }

  private async find(
    name: string,
    directories: readonly string[],
    wanted: ElfInfo,
    origins: readonly ImagePath[],
  ): Promise<Library | undefined> {
    const candidates = name.includes('/')
      ? expandTokens(name, wanted, origins)
      : directories.map((dir) => joinPath(dir, name));
    const variants: ImagePath[] = [];
    for (const candidate of candidates) {
      if (!name.includes('/')) variants.push(...this.hardwareVariants(candidate, name));
      const node = await this.fitting(candidate, wanted);
      if (node !== undefined) return { name, path: candidate, node, variants };
    }
    return undefined;
  }

  private hardwareVariants(candidate: ImagePath, name: string): ImagePath[] {
    return childrenOf(this.tree, joinPath(parentOf(candidate), 'glibc-hwcaps'))
      .map((dir) => joinPath(dir.path, name))
      .filter((path) => this.tree.resolve(path).node?.kind === 'file');
  }

  private async fitting(path: ImagePath, wanted: ElfInfo): Promise<Node | undefined> {
    const { node } = this.tree.resolve(path);
    if (node?.kind !== 'file') return undefined;
    const elf = await this.files.elf(node);
    return elf?.machine === wanted.machine && elf.bits === wanted.bits ? node : undefined;
  }

  private async systemDirectories(elf: ElfInfo): Promise<readonly string[]> {
    const musl =
      elf.interpreter?.includes('/ld-musl-') ??
      (this.muslOnly || elf.needed.some((name) => name.startsWith('libc.musl-')));
    if (musl) return this.muslDirectories();
    this.configured ??= this.readConfig('/etc/ld.so.conf', 0);
    return [...(await this.configured), ...defaultDirectories(elf)];
  }

  private async muslDirectories(): Promise<string[]> {
    const dirs: string[] = [];
    for (const path of glob(this.tree, '/etc/ld-musl-*.path')) {
      const text = await this.files.text(this.tree.resolve(path).node);
      dirs.push(...text.split(/[:\n]/).filter((dir) => dir.startsWith('/')));
    }
    return dirs.length > 0 ? dirs : ['/lib', '/usr/local/lib', '/usr/lib'];
  }

  /** ld.so.conf as ldconfig(8) reads it: one directory a line, `include` with globs. */
  private async readConfig(path: ImagePath, depth: number): Promise<string[]> {
    if (depth > 8) return [];
    const text = await this.files.text(this.tree.resolve(path).node);
    const dirs: string[] = [];
    for (const raw of text.split('\n')) {
      const line = raw.replace(/#.*/, '').trim();
      const [word, ...patterns] = line.split(/\s+/);
      if (word === 'include') {
        for (const pattern of patterns)
          for (const file of glob(this.tree, normalizePath(pattern, parentOf(path))))
            dirs.push(...(await this.readConfig(file, depth + 1)));
      } else if (word?.startsWith('/') === true) {
        dirs.push(...line.split(/[\s,:]+/).map((dir) => normalizePath(dir.replace(/=.*/, ''))));
      }
    }
    return dirs;
  }
}

/** Dynamic string tokens (ld.so(8)); the values that each may have on the machines an image runs on. */
function expandTokens(text: string, elf: ElfInfo, origins: readonly ImagePath[]): string[] {
  const { platform, triplets } = architectureOf(elf);
  const values: [RegExp, readonly string[]][] = [
    [/\$(?:ORIGIN\b|\{ORIGIN\})/g, origins],
    [/\$(?:LIB\b|\{LIB\})/g, ['lib', 'lib64', ...triplets.map((triplet) => `lib/${triplet}`)]],
    [/\$(?:PLATFORM\b|\{PLATFORM\})/g, [platform]],
  ];
  let expanded = [text];
  for (const [token, replacements] of values)
    if (text.search(token) >= 0)
      expanded = expanded.flatMap((one) => replacements.map((by) => one.replace(token, () => by)));
  return expanded.filter((dir) => dir.startsWith('/')).map((dir) => normalizePath(dir));
}
