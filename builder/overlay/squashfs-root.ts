import { open, type FileHandle } from 'node:fs/promises';

const metadataBlockSize = 8192;
const idsPerBlock = metadataBlockSize / 4;

/**
 * Set owner and modification time of the root directory of the squashfs `file`: made from a tar,
 * mksquashfs 4.5 gives the root the current time and user and ignores `-root-time` and `-root-uid`.
 * Inode and id tables must be uncompressed (`mksquashfs -noI`), and the ids be those of some file.
 * Layout: Linux, fs/squashfs/squashfs_fs.h.
 */
export async function setRootMetadata(
  file: string,
  { uid, gid, mtime }: { uid: number; gid: number; mtime: number },
): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const superblock = await read(handle, 0, 96);
    if (superblock.toString('latin1', 0, 4) !== 'hsqs') throw new Error(`${file} is no squashfs`);
    const ids = await readIds(handle, superblock);
    const fields = Buffer.alloc(8);
    fields.writeUInt16LE(indexOf(ids, uid), 0);
    fields.writeUInt16LE(indexOf(ids, gid), 2);
    fields.writeUInt32LE(mtime, 4);
    const reference = superblock.readBigUInt64LE(32);
    const block = Number(superblock.readBigUInt64LE(64)) + Number(reference >> 16n);
    await requireUncompressed(handle, block);
    const start = Number(reference & 0xffffn) + 4; // after type and mode
    for (const [i, byte] of fields.entries()) {
      // each block of the table is preceded by two bytes of length
      const at = start + i;
      const position = block + at + 2 * (1 + Math.floor(at / metadataBlockSize));
      await handle.write(Buffer.from([byte]), 0, 1, position);
    }
  } finally {
    await handle.close();
  }
}

async function readIds(handle: FileHandle, superblock: Buffer): Promise<number[]> {
  const count = superblock.readUInt16LE(26);
  const table = Number(superblock.readBigUInt64LE(48));
  const ids: number[] = [];
  for (let i = 0; ids.length < count; i++) {
    const block = Number((await read(handle, table + 8 * i, 8)).readBigUInt64LE());
    await requireUncompressed(handle, block);
    const inBlock = Math.min(idsPerBlock, count - ids.length);
    const bytes = await read(handle, block + 2, 4 * inBlock);
    for (let at = 0; at < bytes.length; at += 4) ids.push(bytes.readUInt32LE(at));
  }
  return ids;
}

function indexOf(ids: readonly number[], id: number): number {
  const index = ids.indexOf(id);
  if (index < 0) throw new Error(`no file of the squashfs belongs to ${id}`);
  return index;
}

async function requireUncompressed(handle: FileHandle, block: number): Promise<void> {
  const header = await read(handle, block, 2);
  if ((header.readUInt16LE() & 0x8000) === 0) throw new Error('a squashfs table is compressed');
}

async function read(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await handle.read(bytes, 0, length, position);
  if (bytesRead < length) throw new Error('the squashfs ends early');
  return bytes;
}
