/** What a device counts, in memory that other threads may read at any time. */
export const counters = [
  'reads',
  'readBytes',
  'writes',
  'writtenBytes',
  'flushes',
  'discards',
  'failures',
  'violations',
  'notifications',
  'interrupts',
  'connections',
] as const;
export type Counter = (typeof counters)[number];

/** Places of the counters in the array; a plain store each, for only one thread writes. */
export const Count = Object.fromEntries(counters.map((name, n) => [name, n])) as Record<
  Counter,
  number
>;

export class Statistics {
  readonly values: Float64Array;

  constructor(readonly shared = new SharedArrayBuffer(counters.length * 8)) {
    this.values = new Float64Array(shared);
  }

  add(place: number, amount: number): void {
    this.values[place] = (this.values[place] ?? 0) + amount;
  }

  read(): Record<Counter, number> {
    return Object.fromEntries(counters.map((name, n) => [name, this.values[n] ?? 0])) as Record<
      Counter,
      number
    >;
  }
}
