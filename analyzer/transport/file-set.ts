import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DebloatError } from '../errors.js';
import type { Digest } from '../image/types.js';

/** A file of an image's on-disk form. */
export interface StoredFile {
  /** On this machine. */
  file: string;
  /** Bytes. */
  size: number;
  /** Of the bytes, where they were hashed while they came. */
  digest?: Digest;
  /** Whether it lies in the workspace, so that it may be used in place. */
  own: boolean;
}

/** The files of an image by name: a directory, or an archive that was taken apart. */
export interface FileSet {
  find(name: string): Promise<StoredFile | undefined>;
}

/** The files of a directory. Names given to it must have been checked. */
export class DirectoryFiles implements FileSet {
  readonly #dir: string;
  readonly #own: boolean;

  /** The files of a directory that the user named. @throws DebloatError if there is none. */
  static async of(dir: string): Promise<DirectoryFiles> {
    const found = await stat(dir).catch(() => undefined);
    if (found?.isDirectory()) return new DirectoryFiles(dir, { own: false });
    throw new DebloatError(found ? `${dir} is no directory` : `there is no directory ${dir}`);
  }

  constructor(dir: string, options: { own: boolean }) {
    this.#dir = dir;
    this.#own = options.own;
  }

  async find(name: string): Promise<StoredFile | undefined> {
    const file = join(this.#dir, name);
    const found = await stat(file).catch((error: unknown) => {
      if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return;
      throw new DebloatError(`cannot read ${file}: ${(error as Error).message}`, { cause: error });
    });
    return found?.isFile() ? { file, size: found.size, own: this.#own } : undefined;
  }
}

const maximumDocument = 16 * 1024 * 1024;

/** The bytes of a JSON document. @throws DebloatError if it is missing or absurdly large. */
export async function readDocument(files: FileSet, name: string, missing: string): Promise<Buffer> {
  const found = await files.find(name);
  if (!found) throw new DebloatError(missing);
  if (found.size > maximumDocument) {
    throw new DebloatError(`${found.file} has ${found.size} bytes, too many for a JSON document`);
  }
  try {
    return await readFile(found.file);
  } catch (error) {
    throw new DebloatError(`cannot read ${found.file}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
