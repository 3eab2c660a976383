import { createHash } from 'node:crypto';
import { findUnusedText } from '../../attacher/guest/index.js';
import { kernelTables } from '../../attacher/hijack/address-space.js';
import { memoryOfProcess } from '../../attacher/hypervisor/emulated-machine.js';
import type { MonitorAddress } from '../../attacher/qmp/monitor.js';
import { pagingRegistersBy } from '../../attacher/qmp/processors.js';

/** A place of which a session takes a part, in whole pages: smaller than the padding of any kernel's text. */
const padding = 768 * 1024;
/** The last 512 GiB of the address space, whose table all of a kernel's processes share. */
const sharedHalf = 0xffff_ff80_0000_0000n;

/**
 * Where a guest's kernel has so much padding in its text, and what its shared page table has in the
 * entries that sessions may take.
 */
export async function kernelText(pid: number, monitor: MonitorAddress) {
  const paging = await pagingRegistersBy(monitor);
  const memory = memoryOfProcess(pid, paging);
  try {
    const tables = kernelTables(memory, paging);
    const table = tables.tableOf(sharedHalf, 3) ?? 0;
    const entries = memory.read(table, 400 * 8) ?? new Uint8Array();
    return {
      padding: findUnusedText(tables, padding),
      entries: createHash('sha256').update(entries).digest('hex'),
    };
  } finally {
    memory.close();
  }
}
