import { closeSync, openSync, readSync } from 'node:fs';

/** Drivers of a disk that is put into a guest by a window of memory. */
export const windowDrivers = ['virtio_mmio', 'virtio_blk'] as const;
/** And of one that is plugged in. */
export const plugDrivers = ['virtio_pci', 'virtio_blk'] as const;

/** Where file systems have their magic, what it is, and the modules that read them. */
const fileSystems = [
  // fs/squashfs/squashfs_fs.h
  { at: 0, magic: [0x68, 0x73, 0x71, 0x73], modules: ['squashfs'] },
  // fs/erofs/erofs_fs.h
  { at: 1024, magic: [0xe2, 0xe1, 0xf5, 0xe0], modules: ['crc32c_generic', 'erofs'] },
  // fs/ext4/ext4.h
  { at: 1080, magic: [0x53, 0xef], modules: ['crc32c_generic', 'ext4'] },
] as const;

/** What mounts the overlay's image file and shows it over the guest's own tree. */
export function overlayDrivers(image: string): string[] {
  const start = Buffer.alloc(2048);
  const file = openSync(image, 'r');
  try {
    readSync(file, start, 0, start.length, 0);
  } finally {
    closeSync(file);
  }
  const found = fileSystems.find(({ at, magic }) =>
    magic.every((byte, n) => start[at + n] === byte),
  );
  return [...(found?.modules ?? []), 'overlay'];
}
