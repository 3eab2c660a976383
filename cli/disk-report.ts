import type { CommonOptions } from './options.js';

/** What there is to tell of a disk that a guest has got. */
export interface DiskReport {
  id: string;
  /** The way it was put there, for people. */
  backend: string;
  /** By our own device, by our server, or as a file that the hypervisor opened. */
  disk: 'virtio-mmio' | 'vhost-user' | 'file';
  serial: string;
  times: Record<'prepare' | 'stopped' | 'guest' | 'total', number>;
}

/** The result of `debloat attach --disk-only`. */
export function renderDisk(report: DiskReport, format: CommonOptions['format']): string {
  const { id, backend, disk, serial, times } = report;
  if (format === 'json') {
    const milliseconds = Object.fromEntries(
      Object.entries(times).map(([name, value]) => [name, Math.round(value * 100) / 100]),
    );
    return `${JSON.stringify({ session: id, backend, disk, serial, milliseconds })}\n`;
  }
  const { prepare, stopped, guest, total } = times;
  return (
    `session ${id} by ${backend} (${disk}): in the guest, the disk with serial "${serial}" (lsblk -o NAME,SERIAL)\n` +
    `prepared in ${prepare.toFixed(0)} ms, stopped for ${stopped.toFixed(1)} ms, ` +
    `the guest took ${guest.toFixed(0)} ms, ${total.toFixed(0)} ms in all\n`
  );
}
