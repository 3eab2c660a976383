import { openSync } from 'node:fs';
import { CopiedRegion } from '../guest/memory/copied-region.js';
import { FileRegion } from '../guest/memory/file-region.js';
import { MappedRegion } from '../guest/memory/mapped-region.js';
import { ProcessMemory, type RegionAccess } from '../guest/memory/process-memory.js';
import type { PagingRegisters } from '../guest/page-tables.js';
import { closeDescriptor } from '../../native/linux/event.js';
import type { MemoryArea } from '../../native/linux/memory-map.js';
import { openProcess, takeDescriptor } from '../../native/linux/process-memory.js';
import { failedWith } from '../../native/linux/system-error.js';
import type { Placement } from './layout.js';
import { directlyMapped } from './memory-probe.js';
import { fileIdentity, type OpenFile } from './procfs.js';

/** What of a hypervisor process must be known to reach its guest's memory. */
export interface MemoryOwner {
  pid: number;
  areas: readonly MemoryArea[];
  files: readonly OpenFile[];
}

/** Guest memory, and whether the guest's page tables bear out where it lies. */
export interface FoundMemory {
  memory: ProcessMemory;
  verified: boolean;
}

/** The memory in the one of `layouts` that agrees with the guest's page tables; in the first one if none does. */
export function findMemory(
  owner: MemoryOwner,
  layouts: readonly Placement[][],
  registers: PagingRegisters | undefined,
): FoundMemory | undefined {
  const first = layouts[0];
  if (first === undefined) return undefined;
  const best = registers && mostMapped(owner, layouts, registers);
  const memory = new ProcessMemory(
    (best ?? first).map((placement) => ({ ...placement, access: reach(owner, placement) })),
  );
  return { memory, verified: best !== undefined };
}

function mostMapped(
  owner: MemoryOwner,
  layouts: readonly Placement[][],
  registers: PagingRegisters,
): Placement[] | undefined {
  let best: { layout: Placement[]; bytes: number } | undefined;
  for (const layout of layouts) {
    const memory = new ProcessMemory(
      layout.map((placement) => ({
        ...placement,
        access: new CopiedRegion(owner.pid, placement.userAddress),
      })),
    );
    try {
      const bytes = directlyMapped(memory, registers);
      if (bytes !== undefined && bytes > (best?.bytes ?? 0)) best = { layout, bytes };
    } finally {
      memory.close();
    }
  }
  return best?.layout;
}

/** The best way to the bytes of a stretch: mapped where shared, else copied, else through a file of procfs. */
export function reach(owner: MemoryOwner, { userAddress, size }: Placement): RegionAccess {
  const area = owner.areas.find(
    ({ start, end }) => userAddress >= start && userAddress + size <= end,
  );
  if (area?.shared && area.inode !== 0) {
    const mapped = map(owner, area, area.offset + (userAddress - area.start), size);
    if (mapped) return mapped;
  }
  const copied = new CopiedRegion(owner.pid, userAddress);
  try {
    copied.read(0, new Uint8Array(8));
    return copied;
  } catch (error) {
    copied.close();
    if (!failedWith(error, 'ENOSYS', 'EPERM', 'EFAULT')) throw error;
    return new FileRegion(owner.pid, userAddress);
  }
}

function map(
  owner: MemoryOwner,
  area: MemoryArea,
  offset: number,
  size: number,
): MappedRegion | undefined {
  return (
    attempt(() => {
      const file = owner.files.find(({ fd, target }) => {
        if (!target.startsWith('/')) return false;
        const identity = fileIdentity(`/proc/${owner.pid}/fd/${fd}`);
        return identity?.inode === area.inode && identity.device === area.device;
      });
      if (file === undefined) return undefined;
      const pidfd = openProcess(owner.pid);
      try {
        const fd = takeDescriptor(pidfd, file.fd);
        return regionOf(fd, offset, size);
      } finally {
        closeDescriptor(pidfd);
      }
    }) ??
    attempt(() => {
      // Its owner has closed the descriptor: the mapping itself can be opened (needs CAP_SYS_ADMIN).
      const range = [area.start, area.end].map((at) => at.toString(16)).join('-');
      const fd = openSync(`/proc/${owner.pid}/map_files/${range}`, 'r+');
      return regionOf(fd, offset, size);
    })
  );
}

/** The region, which has the descriptor from now on; closed if there is none. */
function regionOf(fd: number, offset: number, size: number): MappedRegion {
  try {
    return new MappedRegion(fd, offset, size);
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
