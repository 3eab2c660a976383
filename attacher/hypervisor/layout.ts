import type { MemoryArea } from '../../native/linux/memory-map.js';

/** Where a stretch of the hypervisor's memory is in the guest. */
export interface Placement {
  guestAddress: number;
  userAddress: number;
  size: number;
}

const MiB = 2 ** 20;
const fourGiB = 2 ** 32;

/** Guests have more memory than this, and hypervisors few other things as large. */
const leastMemory = 16 * MiB;

/** Second and later areas are guest memory only if they are at least so large: allocators' arenas are smaller. */
const leastFurther = 128 * MiB;
const mostAreas = 16;

/** What a process can write and not execute (no hypervisor runs its guest's memory), in one piece. */
interface Stretch {
  start: number;
  size: number;
  area: MemoryArea;
}

/** Stretches that a process can write, the largest first; with `join` neighbours of the same kind are one. */
function writableStretches(areas: readonly MemoryArea[], join: boolean): Stretch[] {
  const joined: Stretch[] = [];
  for (const area of areas) {
    if (!area.readable || !area.writable || area.executable || area.name.startsWith('[')) continue;
    const last = joined.at(-1);
    if (join && last && follows(last, area)) last.size += area.end - area.start;
    else joined.push({ start: area.start, size: area.end - area.start, area });
  }
  return joined.sort((a, b) => b.size - a.size);
}

function follows({ start, size, area }: Stretch, next: MemoryArea): boolean {
  return (
    start + size === next.start &&
    area.shared === next.shared &&
    area.executable === next.executable &&
    area.device === next.device &&
    area.inode === next.inode &&
    area.name === next.name &&
    (area.inode === 0 || area.offset + size === next.offset)
  );
}

/**
 * How the guest's memory can lie, the likeliest first. procfs does not tell where KVM has put it, but there
 * are few ways: from 0 on, with what does not fit below a hole under 4 GiB going on above 4 GiB.
 * Which one it is shows in the guest's page tables (memory-probe.ts). Empty if nothing is large enough.
 */
export function possibleLayouts(
  areas: readonly MemoryArea[],
  lowMemoryEnds: readonly number[],
): Placement[][] {
  // Advice to the kernel splits an area; but what lies beside memory may also be something else, as a stack.
  const layouts = [false, true].flatMap((join) =>
    layoutsOf(writableStretches(areas, join), lowMemoryEnds),
  );
  return layouts.filter((layout, n) => n === layouts.findIndex((other) => same(layout, other)));
}

function layoutsOf(all: readonly Stretch[], lowMemoryEnds: readonly number[]): Placement[][] {
  const stretches = all.filter(({ size }) => size >= leastMemory);
  const largest = stretches[0];
  if (largest === undefined) return [];
  const further = stretches
    .slice(1, mostAreas)
    .filter(
      ({ size, area }) => size >= leastFurther && (area.inode === 0) === (largest.area.inode === 0),
    );
  const layouts: Placement[][] = [];
  for (const order of orders(largest, further)) {
    const total = order.reduce((sum, { size }) => sum + size, 0);
    for (const end of lowMemoryEnds) if (total > end) layouts.push(split(order, end));
    layouts.push(split(order, Infinity));
  }
  if (further.length > 0) layouts.push(...asMapped([largest, ...further]));
  return layouts;
}

/** Orders in which stretches can follow each other in the guest. */
function orders(largest: Stretch, further: Stretch[]): Stretch[][] {
  if (further.length === 0) return [[largest]];
  const ascending = [largest, ...further].sort((a, b) => a.start - b.start);
  const byFile = [largest, ...further].sort((a, b) => a.area.offset - b.area.offset);
  // The kernel maps downwards: what was made first is highest.
  return [[largest], [...ascending].reverse(), ascending, byFile];
}

/** Stretches one after the other from 0 on, and from 4 GiB on what does not fit below `lowEnd`. */
function split(stretches: readonly Stretch[], lowEnd: number): Placement[] {
  const placements: Placement[] = [];
  let at = 0;
  for (const { start, size } of stretches) {
    const low = Math.max(0, Math.min(size, lowEnd - at));
    if (low > 0) placements.push({ guestAddress: at, userAddress: start, size: low });
    if (low > 0) at += low;
    if (low === size) continue;
    at = Math.max(at, fourGiB);
    placements.push({ guestAddress: at, userAddress: start + low, size: size - low });
    at += size - low;
    lowEnd = 0;
  }
  return placements;
}

/** Two stretches as far apart in the guest as in the hypervisor, which mapped them as one with a hole. */
function asMapped(stretches: readonly Stretch[]): Placement[][] {
  const ascending = [...stretches].sort((a, b) => a.start - b.start);
  return ascending.flatMap((first, n) => {
    const second = ascending[n + 1];
    if (second === undefined || second.start - first.start !== fourGiB) return [];
    return [
      [first, second].map(({ start, size }) => ({
        guestAddress: start - first.start,
        userAddress: start,
        size,
      })),
    ];
  });
}

function same(one: Placement[], other: Placement[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
