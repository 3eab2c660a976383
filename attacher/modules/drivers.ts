import { overlayFileSystem } from '../overlay-file-system.js';

/** Drivers of a disk that is put into a guest by a window of memory. */
export const windowDrivers = ['virtio_mmio', 'virtio_blk'] as const;
/** And of one that is plugged in. */
export const plugDrivers = ['virtio_pci', 'virtio_blk'] as const;

/** What mounts the overlay's image file and shows it over the guest's own tree. */
export function overlayDrivers(image: string): string[] {
  return [...(overlayFileSystem(image)?.modules ?? []), 'overlay'];
}
