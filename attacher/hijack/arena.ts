import type { Segment } from '../guest/linker/layout.js';

export const pageSize = 4096;

/** Of the legacy virtio-mmio window, the registers from here on are read-only memory (VIRTIO 1.2, 4.2.4). */
const firstPassive = 0x50;
/** Bytes of the window: the registers, and a config space that is long enough for a disk's. */
export const windowSize = 0x200;

/** Pages that the guest never sees: the journal, the log of requests under way, the gate's code and its page. */
const hostPages = 8;
const gatePages = 2;

/** Pages before the stage's image: the two levels of page tables that map the arena. */
export const tablePages = 2;

/** A page-table entry's bits (Intel SDM volume 3, 4.5). */
const Entry = {
  present: 1n,
  writable: 2n,
  accessed: 0x20n,
  dirty: 0x40n,
  noExecute: 1n << 63n,
};
const table = Entry.present | Entry.writable | Entry.accessed;

/**
 * The memory that an attach adds to a VM: a file shared with the hypervisor. Its first pages are ours,
 * and the guest never sees them: the journal, the log of requests under way, the gate. The pages after them are guest memory; the last of them ends
 * with the first registers of the device's window. The final page has the other registers, and is
 * read-only for the guest.
 */
export interface ArenaLayout {
  /** Pages of guest memory. */
  ramPages: number;
  /** Bytes of the whole file. */
  fileSize: number;
  /** Offsets in the file. */
  inflight: number;
  gateCode: number;
  gatePage: number;
  ram: number;
  image: number;
  windowHead: number;
  passivePage: number;
}

/** The layout for a stage image of `imageSize` bytes (whole pages). */
export function layoutArena(imageSize: number): ArenaLayout {
  if (imageSize % pageSize !== 0) throw new RangeError('the image is not of whole pages');
  const ramPages = tablePages + imageSize / pageSize + 1;
  if (ramPages > 512) throw new RangeError('the image is larger than one page table maps');
  const passivePage = (hostPages + ramPages) * pageSize;
  return {
    ramPages,
    fileSize: passivePage + pageSize,
    inflight: pageSize,
    gateCode: (hostPages - gatePages) * pageSize,
    gatePage: (hostPages - 1) * pageSize,
    ram: hostPages * pageSize,
    image: (hostPages + tablePages) * pageSize,
    windowHead: passivePage - firstPassive,
    passivePage,
  };
}

/** The layout of an arena whose guest memory has so many pages. */
export function layoutOfPages(ramPages: number): ArenaLayout {
  return layoutArena((ramPages - tablePages - 1) * pageSize);
}

/** Where the parts of an arena are for the guest. */
export interface ArenaPlace {
  /** Guest-physical address of its memory. */
  guestAddress: number;
  /** Virtual address of the same in the guest's kernel. */
  virtualAddress: bigint;
}

/** The virtual address that the stage's image is linked for. */
export function imageAddress(place: ArenaPlace): bigint {
  return place.virtualAddress + BigInt(tablePages * pageSize);
}

/** Guest-physical address of the device's window. */
export function windowAddress(layout: ArenaLayout, place: ArenaPlace): number {
  return place.guestAddress + layout.ramPages * pageSize - firstPassive;
}

/** The entry that makes the arena a part of the kernel's address space. */
export function rootEntry(place: ArenaPlace): bigint {
  return BigInt(place.guestAddress) | table;
}

/**
 * Write the arena's own page tables into `file`: the image's pages as its segments say, everything
 * else not mapped. `noExecute`: the guest uses that bit (EFER.NXE).
 */
export function writePageTables(
  file: Uint8Array,
  layout: Pick<ArenaLayout, 'ram'>,
  place: ArenaPlace,
  segments: readonly Segment[],
  noExecute: boolean,
): void {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  view.setBigUint64(layout.ram, BigInt(place.guestAddress + pageSize) | table, true);
  for (const { offset, size, writable, executable } of segments) {
    for (let page = offset / pageSize; page < (offset + size) / pageSize; page++) {
      const index = tablePages + page;
      const address = BigInt(place.guestAddress + index * pageSize);
      const bits =
        Entry.present |
        Entry.accessed |
        (writable ? Entry.writable | Entry.dirty : 0n) |
        (executable || !noExecute ? 0n : Entry.noExecute);
      view.setBigUint64(layout.ram + pageSize + index * 8, address | bits, true);
    }
  }
}

/**
 * Write into the page tables at the start of `file` that the pages of a segment can be written, too,
 * behind all else (at `offset`); the virtual address of that.
 */
export function writeAlias(
  file: Uint8Array,
  { guestAddress, virtualAddress }: ArenaPlace,
  segment: Segment,
  offset: number,
  noExecute: boolean,
): bigint {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let page = 0; page < segment.size / pageSize; page++) {
    const from = tablePages + segment.offset / pageSize + page;
    const index = offset / pageSize + page;
    if (index > 511) throw new RangeError('the block is larger than one page table maps');
    const bits = Entry.present | Entry.writable | Entry.accessed | Entry.dirty;
    const address = BigInt(guestAddress + from * pageSize);
    view.setBigUint64(
      pageSize + index * 8,
      address | bits | (noExecute ? Entry.noExecute : 0n),
      true,
    );
  }
  return virtualAddress + BigInt(offset);
}
