import { limits, sectorSize } from './protocol.js';

/** Bytes of struct virtio_blk_config up to the write-zeroes fields. */
export const configLength = 60;

/** What a driver is told of the device (VIRTIO 1.2, 5.2.4). Little-endian, as in the legacy layout on x86 and ARM. */
export function encodeConfig(disk: {
  sectors: number;
  blockSize: number;
  queues: number;
}): Uint8Array {
  const config = new DataView(new ArrayBuffer(configLength));
  config.setBigUint64(0, BigInt(disk.sectors), true);
  config.setUint32(12, limits.segments, true);
  config.setUint32(20, disk.blockSize, true);
  config.setUint16(34, disk.queues, true);
  config.setUint32(36, limits.rangeSectors, true);
  config.setUint32(40, limits.ranges, true);
  config.setUint32(44, disk.blockSize / sectorSize, true);
  config.setUint32(48, limits.rangeSectors, true);
  config.setUint32(52, limits.ranges, true);
  config.setUint8(56, 1);
  return new Uint8Array(config.buffer);
}
