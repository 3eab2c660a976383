import type { GuestMemory } from '../memory/guest-memory.js';
import { descriptorSize, type Ring } from './ring.js';
import { QueueViolation } from './violation.js';

/** Flags of a descriptor (VIRTIO 1.2, 2.7.5). */
export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;

/** The most buffers in one chain; as many as the kernel takes in one call (IOV_MAX). */
export const longestChain = 1024;

/** The buffers of one request: first those we read, then those we write. Reused from one to the next. */
export class DescriptorChain {
  head = 0;
  count = 0;
  /** How many of the buffers are ours to read; the rest are to be written. */
  readable = 0;
  readonly addresses = new Float64Array(longestChain);
  readonly lengths = new Float64Array(longestChain);

  /**
   * Read the chain that begins at `head`. Each field is read once, for the driver may change it
   * under us. Throws QueueViolation for whatever VIRTIO 1.2, 2.7.4.2 and 2.7.5.3 forbid drivers.
   */
  read(ring: Ring, head: number, memory: GuestMemory, options: { indirect: boolean }): void {
    this.head = head;
    this.count = 0;
    this.readable = 0;
    let view = ring.tableView;
    let table = ring.table;
    let entries = ring.size;
    let left = ring.size;
    let index = head;
    let nested = false;
    for (;;) {
      if (index >= entries) {
        throw new QueueViolation(`descriptor ${index} in a table of ${entries}`);
      }
      if (left-- === 0) throw new QueueViolation('descriptors in a loop');
      const at = table + index * descriptorSize;
      const address = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
      const length = view.getUint32(at + 8, true);
      const flags = view.getUint16(at + 12, true);
      if ((flags & VIRTQ_DESC_F_INDIRECT) === 0) {
        this.#add(address, length, (flags & VIRTQ_DESC_F_WRITE) !== 0);
        if ((flags & VIRTQ_DESC_F_NEXT) === 0) return;
        index = view.getUint16(at + 14, true);
        continue;
      }
      if (!options.indirect) throw new QueueViolation('indirect descriptor, not agreed upon');
      if (nested) throw new QueueViolation('indirect descriptor in an indirect table');
      if ((flags & VIRTQ_DESC_F_NEXT) !== 0) {
        throw new QueueViolation('indirect descriptor with a next one');
      }
      entries = length / descriptorSize;
      if (!Number.isInteger(entries) || entries === 0 || entries > longestChain) {
        throw new QueueViolation(`indirect table of ${length} bytes`);
      }
      if (!memory.open(address, length)) throw new QueueViolation('indirect table outside memory');
      ({ view, at: table } = memory);
      left = entries;
      index = 0;
      nested = true;
    }
  }

  #add(address: number, length: number, writable: boolean): void {
    const { count } = this;
    if (count === longestChain) throw new QueueViolation(`more than ${longestChain} buffers`);
    if (!writable) {
      if (this.readable < count) throw new QueueViolation('buffer to read after one to write');
      this.readable++;
    }
    this.addresses[count] = address;
    this.lengths[count] = length;
    this.count = count + 1;
  }
}
