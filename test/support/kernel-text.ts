import { createHash } from 'node:crypto';
import { findGuest } from '../../attacher/gdb/guest.js';
import { findUnusedText } from '../../attacher/guest/index.js';
import type { MonitorAddress } from '../../attacher/qmp/monitor.js';

/** A place of which a session takes a part, in whole pages: smaller than the padding of any kernel's text. */
const padding = 768 * 1024;
/**
 * Where a guest's kernel has so much padding in its text, and what its shared page table has in the
 * entries that sessions may take.
 */
export async function kernelText(pid: number, monitor: MonitorAddress) {
  const { memory, kernel } = await findGuest(pid, monitor, {});
  try {
    const tables = kernel.pageTables;
    const entries = memory.read(tables.root, 400 * 8) ?? new Uint8Array();
    return {
      padding: findUnusedText(tables, padding),
      entries: createHash('sha256').update(entries).digest('hex'),
    };
  } finally {
    memory.close();
  }
}
