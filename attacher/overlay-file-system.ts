import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { DebloatError } from '../analyzer/errors.js';

/** What to say to a user whose file is none. */
export const overlayHint =
  'an overlay is what `debloat build` writes: overlay.squashfs, .erofs or .ext4';

/** A file system that overlays are written in, as a kernel must have it. */
export interface OverlayFileSystem {
  readonly name: 'squashfs' | 'erofs' | 'ext4';
  /** The modules that read it. */
  readonly modules: readonly string[];
}

interface Known extends OverlayFileSystem {
  readonly at: number;
  readonly magic: readonly number[];
}

/** Where file systems have their magic, and what it is. */
const known: readonly Known[] = [
  // fs/squashfs/squashfs_fs.h
  { name: 'squashfs', at: 0, magic: [0x68, 0x73, 0x71, 0x73], modules: ['squashfs'] },
  // fs/erofs/erofs_fs.h
  {
    name: 'erofs',
    at: 1024,
    magic: [0xe2, 0xe1, 0xf5, 0xe0],
    modules: ['crc32c_generic', 'erofs'],
  },
  // fs/ext4/ext4.h
  { name: 'ext4', at: 1080, magic: [0x53, 0xef], modules: ['crc32c_generic', 'ext4'] },
];

/** The file system in the image file `path`; undefined if it is none that overlays are written in. */
export function overlayFileSystem(path: string): OverlayFileSystem | undefined {
  const start = Buffer.alloc(2048);
  const file = openSync(path, 'r');
  try {
    readSync(file, start, 0, start.length, 0);
  } finally {
    closeSync(file);
  }
  return known.find(({ at, magic }) => magic.every((byte, n) => start[at + n] === byte));
}

/** The same; throws a DebloatError where it is none. `name` is what the user calls the file. */
export function requireFileSystem(name: string, path: string): OverlayFileSystem {
  const system = overlayFileSystem(path);
  if (system !== undefined) return system;
  throw new DebloatError(`${name} is no overlay: it is neither squashfs, erofs nor ext4.`, {
    hint: overlayHint,
  });
}

/** Whether this machine's kernel has the file system now; what a module brings is there once it was asked for. */
export function kernelHas({ name }: OverlayFileSystem): boolean {
  return readFileSync('/proc/filesystems', 'utf8')
    .split('\n')
    .some((line) => line.split('\t').at(-1) === name);
}
