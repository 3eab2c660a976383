/**
 * A guest's memory, by guest-physical address, as device logic sees it. Addresses and lengths come
 * from the guest and may be anything; what is not wholly inside memory is refused, never touched.
 */
export interface GuestMemory {
  /** After `open` or `openToWrite` said true: the view that holds the range, and where in it. Valid until the next call. */
  readonly view: DataView;
  readonly at: number;

  /** Make `length` bytes (at most 512 MiB) at `address` reachable for us; false if any is outside. */
  open(address: number, length: number): boolean;

  /**
   * The same, to write all of it: what was there is not shown. The guest sees it at the latest when
   * the queue is published.
   */
  openToWrite(address: number, length: number): boolean;

  /** Whether all of `length` bytes at `address` are memory. */
  contains(address: number, length: number): boolean;

  /** Where the kernel can read or write guest bytes for us, from `address` on; 0 if it is outside. */
  resolve(address: number, length: number): number;

  /** After `resolve`: how many of the bytes asked for are there in a row; 1 or more. */
  readonly resolved: number;
}

/** The most that one `open` reaches. */
export const longestOpen = 2 ** 29;
