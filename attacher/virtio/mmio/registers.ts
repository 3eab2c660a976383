/**
 * The legacy register window of virtio over MMIO (VIRTIO 1.2, 4.2.4; Linux, virtio_mmio.h), and how
 * it is laid over two pages: what the driver writes and we only read is the end of a page of plain
 * memory; from `split` on is the start of a page that the guest can only read.
 */
export const Register = {
  magic: 0x00,
  version: 0x04,
  device: 0x08,
  vendor: 0x0c,
  hostFeatures: 0x10,
  guestFeatures: 0x20,
  guestPageSize: 0x28,
  queueSelect: 0x30,
  queueSizeMax: 0x34,
  queueSize: 0x38,
  queueAlign: 0x3c,
  queuePage: 0x40,
  queueNotify: 0x50,
  interruptStatus: 0x60,
  interruptAcknowledge: 0x64,
  status: 0x70,
  config: 0x100,
} as const;

/** Where the read-only page begins. */
export const split = 0x50;
/** Bytes of the window, the configuration space included. */
export const windowLength = 0x200;

/** What a device says of itself: "virt", the legacy layout, a block device. */
export const magic = 0x74726976;
export const legacyVersion = 1;
export const blockDevice = 2;
export const vendor = 0x4c424544; // "DEBL"

/** InterruptStatus: a queue's used buffers, a change of the configuration. */
export const InterruptBit = { queue: 1, config: 2 } as const;

/** Status: the device has met an error it cannot recover from (VIRTIO 1.2, 2.1). */
export const needsReset = 0x40;

/**
 * Entries of the queue at most. Fewer than requests may be under way in a device, so that a driver
 * that keeps the rules never meets that limit; and fewer than 256, see `ProcessRing`.
 */
export const queueSizeMax = 128;
