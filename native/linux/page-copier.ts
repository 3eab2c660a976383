import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { address, descriptor, integer } from './integers.js';
import { loadLibrary } from './libc.js';
import { Mapping, pageSize } from './mapping.js';

const architectures: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };
// Built, this file is dist/native/linux/page-copier.js; the sources have the library in dist/native.
const places = ['../', '../../dist/native/'];

/** Sizes of the structures of native/copier/copy.c, and where their fields are. */
const piece = { size: 24, to: 0, from: 8, length: 16, done: 20 };
const image = { size: 32, start: 0, fileSize: 8, groups: 16, fd: 24 };
const group = { size: 8, pages: 32 };

type Copy = (...values: number[]) => number;

/** A file that can be mapped and copied from. */
export interface MappedFile {
  readonly fd: number;
  /** In bytes. */
  readonly size: number;
  /** A file in memory (memfd) that only we have: always there, and never shorter. */
  readonly inMemory: boolean;
}

/**
 * Copies out of a mapped file what of it is in the page cache, many in one call: no copy waits for
 * the medium, and a file that is cut off meanwhile is a copy not done, no SIGBUS.
 */
export class PageCopier {
  /** The most copies in one run. */
  static readonly most = 1024;
  readonly #source: Mapping;
  readonly #copy: Copy;
  readonly #list = Mapping.anonymous(image.size + PageCopier.most * piece.size);
  readonly #view = this.#list.viewAt(0);
  readonly #groups: Mapping | undefined;
  #count = 0;

  private constructor({ fd, size, inMemory }: MappedFile, copy: Copy) {
    const source = Mapping.ofFile(fd, { offset: 0, length: size, writable: false });
    this.#source = source;
    this.#copy = copy;
    if (!inMemory) {
      const groups = Math.ceil(source.length / pageSize / group.pages);
      this.#groups = Mapping.anonymous(groups * group.size);
    }
    this.#set(image.start, source.address);
    this.#set(image.fileSize, size);
    this.#set(image.groups, this.#groups?.address ?? 0);
    this.#set(image.fd, descriptor(fd));
  }

  /**
   * For all of `file`, which stays the caller's and open. Undefined where the native part is not
   * there; throws SystemError where the file cannot be mapped.
   */
  static open(file: MappedFile): PageCopier | undefined {
    const copy = library();
    return copy && new PageCopier(file, copy);
  }

  /** How many copies the next run has. */
  get count(): number {
    return this.#count;
  }

  /** Add a copy of `length` bytes at `offset` of the file to our address `to`, for the next run. */
  add(to: number, offset: number, length: number): void {
    integer('length', length, 1, this.#source.length);
    integer('offset', offset, 0, this.#source.length - length);
    const at = image.size + integer('count', this.#count, 0, PageCopier.most - 1) * piece.size;
    this.#set(at + piece.to, address(to));
    this.#set(at + piece.from, this.#source.address + offset);
    this.#view.setUint32(at + piece.length, length, true);
    this.#count++;
  }

  /** Carry out what was added; `copied` tells of each. */
  run(): void {
    this.#copy(this.#list.address, this.#list.address + image.size, this.#count);
    this.#count = 0;
  }

  /** Whether copy number `index` of the last run was done as a whole. */
  copied(index: number): boolean {
    return this.#view.getUint32(image.size + index * piece.size + piece.done, true) !== 0;
  }

  close(): void {
    this.#source.close();
    this.#groups?.close();
    this.#list.close();
  }

  #set(at: number, value: number): void {
    this.#view.setUint32(at, value >>> 0, true);
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }
}

let loaded: { copy: Copy | undefined } | undefined;

/** The native part, set up for this process once; undefined where it is not there or does not load. */
function library(): Copy | undefined {
  loaded ??= { copy: load() };
  return loaded.copy;
}

function load(): Copy | undefined {
  const name = `copier-${architectures[process.arch] ?? process.arch}.so`;
  const file = places
    .map((place) => fileURLToPath(new URL(`${place}${name}`, import.meta.url)))
    .find((each) => existsSync(each));
  if (file === undefined) return undefined;
  const bind = loadLibrary(file);
  if (bind?.('int debloat_copier_start()')() !== 0) return undefined;
  return bind('void debloat_copy(uint64, uint64, int64)');
}
