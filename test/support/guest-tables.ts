import {
  inOrder,
  piecesOf,
  type MemoryRegion,
  type PhysicalMemory,
} from '../../attacher/guest/memory/physical-memory.js';
import { PageTables, sharedHalf } from '../../attacher/guest/page-tables.js';

/** Guest memory of zeros in a buffer of ours: all of it, or as `regions` lay it out. */
export class FakeMemory implements PhysicalMemory {
  readonly regions: readonly (MemoryRegion & { bytes: Uint8Array })[];
  /** How often it was read. */
  reads = 0;

  constructor(...regions: MemoryRegion[]) {
    this.regions = inOrder(regions.map((each) => ({ ...each, bytes: new Uint8Array(each.size) })));
  }

  read(address: number, length: number): Uint8Array | undefined {
    const target = new Uint8Array(Math.min(length, 2 ** 24));
    return this.readInto(address, target) ? target : undefined;
  }

  readInto(address: number, target: Uint8Array): boolean {
    this.reads++;
    const pieces = piecesOf(this.regions, address, target.length);
    pieces?.forEach(({ region, offset, start, length }) =>
      target.set(region.bytes.subarray(offset, offset + length), start),
    );
    return pieces !== undefined;
  }

  write(address: number, bytes: Uint8Array): boolean {
    const pieces = piecesOf(this.regions, address, bytes.length);
    pieces?.forEach(({ region, offset, start, length }) =>
      region.bytes.set(bytes.subarray(start, start + length), offset),
    );
    return pieces !== undefined;
  }

  setEntry(table: number, index: number, entry: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, entry, true);
    if (!this.write(table + index * 8, bytes)) throw new RangeError(`no table at ${table}`);
  }

  entry(table: number, index: number): bigint {
    const bytes = this.read(table + index * 8, 8);
    return bytes === undefined ? 0n : new DataView(bytes.buffer).getBigUint64(0, true);
  }
}

const PRESENT_WRITABLE = 3n;
const LARGE = 0x80n;

/** Builds page tables in a FakeMemory, taking pages for them from `next` upwards. */
export class TableBuilder {
  readonly root: number;

  constructor(
    readonly memory: FakeMemory,
    readonly levels: 4 | 5,
    private next: number,
  ) {
    this.root = this.#newTable();
  }

  /** Map one page of 4 KiB (level 1), 2 MiB (2) or 1 GiB (3). */
  map(virtual: bigint, physical: number, level: 1 | 2 | 3 = 1, flags = PRESENT_WRITABLE): void {
    let table = this.root;
    for (let at = this.levels as number; at > level; at--) {
      const index = indexAt(virtual, at);
      let entry = this.memory.entry(table, index);
      if ((entry & 1n) === 0n) {
        entry = BigInt(this.#newTable()) | PRESENT_WRITABLE;
        this.memory.setEntry(table, index, entry);
      }
      table = Number(entry & 0x000f_ffff_ffff_f000n);
    }
    const large = level > 1 ? LARGE : 0n;
    this.memory.setEntry(table, indexAt(virtual, level), BigInt(physical) | flags | large);
  }

  /** Map the table for the last 512 GiB there, as a page of a kernel's data, which it is. */
  mapOwn(virtual: bigint): void {
    this.map(virtual, 0);
    const tables = new PageTables(this.memory, this.root, this.levels);
    this.map(virtual, tables.tableOf(sharedHalf, 3) ?? 0);
  }

  #newTable(): number {
    const table = this.next;
    this.next += 4096;
    return table;
  }
}

/** The index of `virtual` in its table at `level`. */
export function indexAt(virtual: bigint, level: number): number {
  return Number((virtual >> BigInt(12 + 9 * (level - 1))) & 511n);
}
