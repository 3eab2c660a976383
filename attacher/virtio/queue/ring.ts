/**
 * The three parts of a split virtqueue as memory (VIRTIO 1.2, 2.7), apart from how that memory is
 * reached. Positions are taken modulo the queue’s size here.
 */
export interface Ring {
  readonly size: number;

  /** The descriptor table; `table` is where it begins in `tableView`. */
  readonly tableView: DataView;
  readonly table: number;

  /**
   * Bring what the driver wrote up to date, where that needs doing; `next` is the first chain not
   * yet taken. `settled`: what was read after publishing is new enough, if that was done just now.
   */
  refresh(next: number, since: 'ever' | 'settled'): void;
  availableIndex(): number;
  availableHead(position: number): number;
  /** Whether the driver wants no interrupts (VIRTQ_AVAIL_F_NO_INTERRUPT). */
  interruptsSuppressed(): boolean;
  /** At which used index the driver wants the next interrupt (used_event). */
  usedEvent(): number;

  setUsed(position: number, head: number, length: number): void;
  /** Make everything before `index` visible to the driver. */
  publishUsed(index: number): void;
  usedIndex(): number;
  /** Tell the driver not to notify (VIRTQ_USED_F_NO_NOTIFY), or to do so again. */
  suppressNotifications(suppress: boolean): void;
  /** At which available index the driver shall notify next (avail_event). */
  setAvailableEvent(index: number): void;
}

/** Guest-physical addresses of a ring’s parts. */
export interface RingAddresses {
  table: number;
  available: number;
  used: number;
}

/** The most entries a queue of ours may have. */
export const largestQueue = 1024;

export const descriptorSize = 16;

/** Bytes of the available part: flags, index, entries, used_event. */
export function availableLength(size: number): number {
  return 6 + 2 * size;
}

/** Bytes of the used part: flags, index, entries, avail_event. */
export function usedLength(size: number): number {
  return 6 + 8 * size;
}
