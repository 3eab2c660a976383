import { Refusal } from '../refusal.js';
import type { PhysicalMemory } from './memory/physical-memory.js';

/** Control registers that say where and how a processor translates addresses. */
export interface PagingRegisters {
  cr0: bigint;
  cr3: bigint;
  cr4: bigint;
  efer: bigint;
}

/** Virtually and physically contiguous bytes. */
export interface Extent {
  virtual: bigint;
  physical: number;
  length: number;
}

/** Where a virtual address is, and how it may be used. */
export interface Translation {
  physical: number;
  pageSize: number;
  writable: boolean;
  user: boolean;
  executable: boolean;
}

/** Bits of a page-table entry (Intel SDM volume 3, tables 5-15 to 5-20). */
const PRESENT = 1;
const WRITABLE = 2;
const USER = 4;
const LARGE = 0x80;
const NO_EXECUTE = 0x8000_0000;

const CR0_PG = 1n << 31n;
const CR4_LA57 = 1n << 12n;
const EFER_LMA = 1n << 10n;
const ADDRESS = 0x000f_ffff_ffff_f000n;

const tableSize = 4096;

/** The last 512 GiB of the address space: one table of 1-GiB entries that all of a kernel's page tables share. */
export const sharedHalf = 0xffff_ff80_0000_0000n;

/** Tables that one walk may read: enough for 2 TiB in pages of 2 MiB, read in a fraction of a second. */
const mostTables = 4096;

/** Stretches that one walk may find; a kernel has a few dozen, the mapping of all its memory some hundreds. */
const mostExtents = 32768;

/**
 * A guest's page tables of 4 or 5 levels, or the 3 of the last 512 GiB (`sharedHalf`) alone. All that is in
 * them is the guest's say-so: depth is fixed and reads are counted, so loops end; addresses outside
 * memory are as good as not present.
 */
export class PageTables {
  constructor(
    readonly memory: PhysicalMemory,
    /** Guest-physical address of the topmost table. */
    readonly root: number,
    readonly levels: 3 | 4 | 5,
  ) {}

  /** The tables that `registers` point to; refused unless the processor is in 64-bit mode. */
  static of(memory: PhysicalMemory, registers: PagingRegisters): PageTables {
    const { cr0, cr3, cr4, efer } = registers;
    if ((cr0 & CR0_PG) === 0n || (efer & EFER_LMA) === 0n) {
      throw new Refusal('mode', 'the guest does not run in 64-bit mode', {
        hint: 'only 64-bit x86 guests are supported; if it is still booting, try again later',
      });
    }
    return new PageTables(memory, Number(cr3 & ADDRESS), (cr4 & CR4_LA57) === 0n ? 4 : 5);
  }

  /**
   * The tables that `registers` point to, and those that may have the kernel instead: a guest with page-table
   * isolation uses others in user mode, which lie 4 KiB after the kernel's (arch/x86/entry/calling.h).
   */
  static *candidates(memory: PhysicalMemory, registers: PagingRegisters): Generator<PageTables> {
    const tables = PageTables.of(memory, registers);
    yield tables;
    if (tables.root % (2 * tableSize) !== 0) {
      yield new PageTables(memory, tables.root - tableSize, tables.levels);
    }
  }

  /** Where `address` is; undefined if it is not mapped, or its tables are outside memory. */
  translate(address: bigint): Translation | undefined {
    const page = this.#pageOf(address);
    if (page === undefined) return undefined;
    let table = this.root;
    let writable = true;
    let user = true;
    let executable = true;
    for (let level = this.levels; level >= 1; level--) {
      const span = spanOf(level);
      const entries = this.#table(table);
      const index = Math.floor(page / span) % 512;
      const low = entries?.[2 * index] ?? 0;
      const high = entries?.[2 * index + 1] ?? 0;
      if ((low & PRESENT) === 0) return undefined;
      writable &&= (low & WRITABLE) !== 0;
      user &&= (low & USER) !== 0;
      executable &&= (high & NO_EXECUTE) === 0;
      const target = targetOf(low, high);
      if (level > 1 && (low & LARGE) === 0) {
        table = target;
        continue;
      }
      if (level > 3) return undefined;
      const pageSize = span * tableSize;
      const offset = (page % span) * tableSize + Number(address & 0xfffn);
      const physical = target - (target % pageSize) + offset;
      return { physical, pageSize, writable, user, executable };
    }
    return undefined;
  }

  /**
   * The table that translates `address` at `level` (1 holds pages of 4 KiB, 4 is the topmost of four),
   * as its guest-physical address; undefined if there is none, for want of an entry or by a large page.
   */
  tableOf(address: bigint, level: number): number | undefined {
    const page = this.#pageOf(address);
    if (page === undefined) return undefined;
    let table = this.root;
    for (let at = this.levels; at > level; at--) {
      const entries = this.#table(table);
      const index = Math.floor(page / spanOf(at)) % 512;
      const low = entries?.[2 * index] ?? 0;
      if ((low & PRESENT) === 0 || (low & LARGE) !== 0) return undefined;
      table = targetOf(low, entries?.[2 * index + 1] ?? 0);
    }
    return table;
  }

  /**
   * What is mapped from `from` up to `to` (both canonical, in the same half), in ascending order,
   * neighbours joined. Refused ("page-tables") when there is more to them than in any real guest.
   */
  *extents(from: bigint, to: bigint): Generator<Extent, void, undefined> {
    const first = this.#pageOf(from);
    const last = this.#pageOf(to - 1n);
    if (first === undefined || last === undefined) return;
    const budget = { tables: mostTables };
    let extents = 0;
    let pending: Leaf | undefined;
    for (const leaf of this.#leaves(this.root, this.levels, 0, first, last, budget)) {
      if (pending && isNext(pending, leaf)) {
        pending.pages += leaf.pages;
        continue;
      }
      if (pending) yield this.#extent(pending);
      if (++extents > mostExtents) throw tooMuch();
      pending = { ...leaf };
    }
    if (pending) yield this.#extent(pending);
  }

  /** Where in the kernel's half anything can be mapped: the starts of what the topmost table's present entries stand for. */
  kernelSlots(): bigint[] {
    const entries = this.#table(this.root);
    if (entries === undefined) return [];
    const bits = this.levels * 9 + 12;
    return Array.from({ length: 256 }, (_, n) => 256 + n)
      .filter((index) => ((entries[2 * index] ?? 0) & PRESENT) !== 0)
      .map((index) => BigInt.asUintN(64, BigInt.asIntN(bits, BigInt(index) << BigInt(bits - 9))));
  }

  /** Bytes at a virtual address; undefined if any is not mapped or outside memory. */
  read(address: bigint, length: number): Uint8Array | undefined {
    const target = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const place = this.translate(address + BigInt(done));
      if (place === undefined) return undefined;
      const part = Math.min(length - done, place.pageSize - (place.physical % place.pageSize));
      if (!this.memory.readInto(place.physical, target.subarray(done, done + part))) {
        return undefined;
      }
      done += part;
    }
    return target;
  }

  *#leaves(
    table: number,
    level: number,
    base: number,
    first: number,
    last: number,
    budget: { tables: number },
  ): Generator<Leaf, void, undefined> {
    if (budget.tables-- <= 0) throw tooMuch();
    const entries = this.#table(table);
    if (entries === undefined) return;
    const span = spanOf(level);
    const start = Math.max(0, Math.floor((first - base) / span));
    const end = Math.min(511, Math.floor((last - base) / span));
    // What lies together is yielded together: a table of 512 leaves is one step for each level above.
    let run: Leaf | undefined;
    for (let index = start; index <= end; index++) {
      const low = entries[2 * index] ?? 0;
      if ((low & PRESENT) === 0) continue;
      const target = targetOf(low, entries[2 * index + 1] ?? 0);
      const page = base + index * span;
      if (level > 1 && (low & LARGE) === 0) {
        if (run) yield run;
        run = undefined;
        yield* this.#leaves(target, level - 1, page, first, last, budget);
      } else if (level <= 3) {
        const skip = Math.max(0, first - page);
        const pages = Math.min(span, last - page + 1) - skip;
        const aligned = target - (target % (span * tableSize));
        const leaf = { page: page + skip, physical: aligned + skip * tableSize, pages };
        if (run && isNext(run, leaf)) run.pages += pages;
        else {
          if (run) yield run;
          run = leaf;
        }
      }
    }
    if (run) yield run;
  }

  /** The 512 entries of a table as pairs of words; undefined if it is outside memory. */
  #table(address: number): Uint32Array | undefined {
    const bytes = this.memory.read(address, tableSize);
    return bytes && new Uint32Array(bytes.buffer, bytes.byteOffset, 1024);
  }

  /** The number of the page that holds `address`, without the sign; undefined if it is not canonical. */
  #pageOf(address: bigint): number | undefined {
    if (this.levels === 3) {
      return address < sharedHalf ? undefined : Number((address - sharedHalf) >> 12n);
    }
    const bits = this.levels * 9 + 12;
    if (BigInt.asUintN(64, BigInt.asIntN(bits, address)) !== address) return undefined;
    return Number(BigInt.asUintN(bits, address) >> 12n);
  }

  #extent({ page, physical, pages }: Leaf): Extent {
    const bits = this.levels * 9 + 12;
    const offset = BigInt(page) << 12n;
    const virtual =
      this.levels === 3 ? sharedHalf + offset : BigInt.asUintN(64, BigInt.asIntN(bits, offset));
    return { virtual, physical, length: pages * tableSize };
  }
}

/** What an entry maps: numbers of pages of 4 KiB, without the sign of the address. */
interface Leaf {
  page: number;
  physical: number;
  pages: number;
}

function isNext(last: Leaf, leaf: Leaf): boolean {
  return (
    last.page + last.pages === leaf.page && last.physical + last.pages * tableSize === leaf.physical
  );
}

function tooMuch(): Refusal {
  return new Refusal('page-tables', 'the guest’s page tables are larger than any real ones', {
    hint: 'they are damaged, or made to mislead',
  });
}

/** Pages of 4 KiB that an entry of a table at `level` stands for. */
function spanOf(level: number): number {
  return 512 ** (level - 1);
}

/** The physical address in an entry: bits 12 to 51. */
function targetOf(low: number, high: number): number {
  return (high & 0xfffff) * 2 ** 32 + ((low & 0xffff_f000) >>> 0);
}
