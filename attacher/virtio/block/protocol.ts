/** The block device of VIRTIO 1.2, section 5.2, as numbers (<linux/virtio_blk.h>). */

export const sectorSize = 512;

export const RequestType = {
  in: 0,
  out: 1,
  flush: 4,
  getId: 8,
  discard: 11,
  writeZeroes: 13,
} as const;

export const Status = { ok: 0, ioError: 1, unsupported: 2 } as const;
export type Status = (typeof Status)[keyof typeof Status];

/** Feature bits, of the device and of the ring. */
export const Feature = {
  segMax: 2,
  readOnly: 5,
  blockSize: 6,
  flush: 9,
  multiQueue: 12,
  discard: 13,
  writeZeroes: 14,
  indirectDescriptors: 28,
  eventIndex: 29,
  version1: 32,
} as const;

/** Bytes of a request’s header: type, reserved, sector. */
export const headerLength = 16;

/** Bytes of one range of a discard or write-zeroes request: sector, count, flags. */
export const rangeLength = 16;

/** Bytes of the answer to GET_ID. */
export const idLength = 20;

/** VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP: the driver does not need the room kept. */
export const unmapFlag = 1;

/** What one request may hold: segments of data, ranges, and sectors in one range. */
export const limits = { segments: 254, ranges: 32, rangeSectors: 1 << 22 };

/** Features as a set of bits. */
export function featureBits(...bits: number[]): bigint {
  return bits.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
}

export function hasFeature(set: bigint, bit: number): boolean {
  return ((set >> BigInt(bit)) & 1n) === 1n;
}
