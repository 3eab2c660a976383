import type { Image, Node } from '../image/types.js';
import { pathFromBytes } from '../image/path.js';
import { ElfError, isElf, parseElf, type ElfInfo } from './elf.js';

/** What the closure reads of an image's files: heads, small texts and ELF headers, each once per inode. */
export class ImageFiles {
  private readonly heads = new Map<object, Promise<Buffer>>();
  private readonly elfs = new Map<object, Promise<ElfInfo | undefined>>();

  constructor(private readonly image: Pick<Image, 'readRange'>) {}

  /** The first bytes (at most 256) of a regular file; empty for anything else. */
  head(node: Node): Promise<Buffer> {
    if (node.kind !== 'file' || node.inode.size === 0) return Promise.resolve(Buffer.alloc(0));
    return once(this.heads, node.inode, () => this.image.readRange(node, 0, 256));
  }

  /** A text file, a byte that is not UTF-8 as in a path; empty if it is no file or over `limit` bytes. */
  async text(node: Node | undefined, limit = 8 << 20): Promise<string> {
    if (node?.kind !== 'file' || node.inode.size === 0 || node.inode.size > limit) return '';
    return pathFromBytes(await this.image.readRange(node, 0, node.inode.size));
  }

  /** The ELF headers, or undefined for a file that is none or a broken one (which no loader takes either). */
  elf(node: Node): Promise<ElfInfo | undefined> {
    return once(this.elfs, node.inode, async () => {
      if (!isElf(await this.head(node))) return undefined;
      try {
        return await parseElf({
          size: node.inode.size,
          read: (offset, length) => this.image.readRange(node, offset, length),
        });
      } catch (error) {
        if (error instanceof ElfError) return undefined;
        throw error;
      }
    });
  }
}

function once<T>(cache: Map<object, Promise<T>>, key: object, make: () => Promise<T>): Promise<T> {
  let value = cache.get(key);
  if (value === undefined) {
    value = make();
    cache.set(key, value);
  }
  return value;
}
