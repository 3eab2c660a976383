/** Registers of the window that a driver writes (VIRTIO 1.2, 4.2.4): by virtio_mmio, then by virtio_blk. */
const GuestPageSize = 0x28;
const QueuePFN = 0x40;

/** Which of the guest's drivers has not yet taken up the device. */
export type Driver = 'virtio_mmio' | 'virtio_blk' | 'ready';

/** How far the guest's drivers have come with the device, by the first registers of its window. */
export function driverOf(registers: Uint8Array): Driver {
  const view = new DataView(registers.buffer, registers.byteOffset, registers.byteLength);
  if (view.getUint32(QueuePFN, true) !== 0) return 'ready';
  return view.getUint32(GuestPageSize, true) === 0 ? 'virtio_mmio' : 'virtio_blk';
}
