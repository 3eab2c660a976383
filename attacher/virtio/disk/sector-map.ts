/** A set of sectors, one bit each. */
export class SectorMap {
  readonly #bits: Uint8Array;

  /** `bits` has a bit for every sector, the first sector in the lowest bit of the first byte. */
  constructor(bits: Uint8Array) {
    this.#bits = bits;
  }

  has(sector: number): boolean {
    return (((this.#bits[sector >>> 3] ?? 0) >>> (sector & 7)) & 1) === 1;
  }

  /** Add the sectors `from` up to `to`. */
  add(from: number, to: number): void {
    const bits = this.#bits;
    for (let sector = from; sector < to;) {
      const byte = sector >>> 3;
      if ((sector & 7) === 0 && to - sector >= 8) {
        bits[byte] = 0xff;
        sector += 8;
      } else {
        bits[byte] = (bits[byte] ?? 0) | (1 << (sector & 7));
        sector++;
      }
    }
  }

  /** Where the run of sectors that are in the set just as `from` is ends, at most `to`. */
  runEnd(from: number, to: number): number {
    const inside = this.has(from);
    const whole = inside ? 0xff : 0;
    let sector = from + 1;
    while (sector < to) {
      if ((sector & 7) === 0 && to - sector >= 8 && this.#bits[sector >>> 3] === whole) sector += 8;
      else if (this.has(sector) === inside) sector++;
      else break;
    }
    return sector;
  }
}

/** Bytes of the map of `sectors`. */
export function sectorMapLength(sectors: number): number {
  return Math.ceil(sectors / 8);
}
