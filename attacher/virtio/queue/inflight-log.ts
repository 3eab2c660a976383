/**
 * What is under way in a queue, kept in memory that outlives us (vhost-user specification,
 * “Inflight I/O tracking”, split virtqueue). After a crash a successor takes it from there.
 */

/** struct QueueRegionSplit: features, version, number of descriptors, last batch, used index; then descriptors. */
const at = { version: 8, count: 10, lastBatch: 12, usedIndex: 14, entries: 16 };
/** struct DescStateSplit: in flight, padding, next, counter. */
const entrySize = 16;
const version = 1;

/** Bytes of one queue’s region, in units that keep the next one aligned. */
export function inflightLength(size: number): number {
  return Math.ceil((at.entries + size * entrySize) / 64) * 64;
}

export class InflightLog {
  readonly #view: DataView;
  readonly #base: number;
  readonly #size: number;
  #batch: number[] = [];
  #counter = 0n;

  /** `view` has at least `inflightLength(size)` bytes from `base`; all zero if nothing was logged yet. */
  constructor(view: DataView, base: number, size: number) {
    this.#view = view;
    this.#base = base;
    this.#size = size;
    view.setUint16(base + at.version, version, true);
    view.setUint16(base + at.count, size, true);
  }

  /**
   * Heads under way when our predecessor died, in the order it took them. `used` is the ring’s used
   * index: if it went on after the last note, that batch was published and is done.
   */
  recover(used: number): number[] {
    const view = this.#view;
    const published = (used - view.getUint16(this.#base + at.usedIndex, true)) & 0xffff;
    let head = view.getUint16(this.#base + at.lastBatch, true);
    for (let n = 0; n < published && n < this.#size && head < this.#size; n++) {
      view.setUint8(this.#entry(head), 0);
      head = view.getUint16(this.#entry(head) + 6, true);
    }
    view.setUint16(this.#base + at.usedIndex, used, true);
    const found: { head: number; counter: bigint }[] = [];
    for (let n = 0; n < this.#size; n++) {
      if (view.getUint8(this.#entry(n)) !== 1) continue;
      found.push({ head: n, counter: view.getBigUint64(this.#entry(n) + 8, true) });
    }
    found.sort((a, b) => (a.counter < b.counter ? -1 : 1));
    this.#counter = (found.at(-1)?.counter ?? 0n) + 1n;
    return found.map((each) => each.head);
  }

  take(head: number): void {
    const entry = this.#entry(head);
    this.#view.setBigUint64(entry + 8, this.#counter++, true);
    this.#view.setUint8(entry, 1);
  }

  giveBack(head: number): void {
    this.#view.setUint16(
      this.#entry(head) + 6,
      this.#view.getUint16(this.#base + at.lastBatch, true),
      true,
    );
    this.#view.setUint16(this.#base + at.lastBatch, head, true);
    this.#batch.push(head);
  }

  /** The used index was published: what was given back before is done. */
  publish(used: number): void {
    for (const head of this.#batch) this.#view.setUint8(this.#entry(head), 0);
    this.#batch.length = 0;
    this.#view.setUint16(this.#base + at.usedIndex, used, true);
  }

  #entry(head: number): number {
    return this.#base + at.entries + head * entrySize;
  }
}
