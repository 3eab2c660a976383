import { longestChain } from '../queue/descriptor-chain.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import { limits } from './protocol.js';

/** What the kernel is to do next for a request. */
export const Transfer = { read: 0, write: 1, sync: 2, punch: 3, zero: 4 } as const;
export type Transfer = (typeof Transfer)[keyof typeof Transfer];

/**
 * One request, from the queue to its status: a stream of bytes between the guest’s buffers and the
 * disk. A disk carries it out in steps; `done` says how far it is. Reused for the next request.
 */
export class BlockRequest {
  type = 0;
  /** First byte on the disk, and how many. */
  offset = 0;
  length = 0;
  done = 0;
  /** Where the status byte goes. */
  statusAddress = 0;

  /** The guest’s buffers of the data, in pieces that are in a row in memory here too. */
  segments = 0;
  readonly guestAddresses = new Float64Array(longestChain);
  readonly hostAddresses = new Float64Array(longestChain);
  readonly lengths = new Float64Array(longestChain);

  /** Ranges of a discard or write-zeroes request: first byte and length of each. */
  ranges = 0;
  readonly rangeOffsets = new Float64Array(limits.ranges);
  readonly rangeLengths = new Float64Array(limits.ranges);
  /** All ranges may lose their room on the medium. */
  unmap = false;

  /** The step under way. */
  transfer: Transfer = Transfer.read;
  fd = -1;
  position = 0;
  stepLength = 0;
  /** A write is to be on the medium before it is answered. */
  durable = false;

  /** `tag` names it among all of a device, from 0. */
  constructor(readonly tag: number) {}

  /**
   * Add `length` bytes at `address` to the data, in as many pieces as memory has them in; false if
   * a byte is outside memory, or there is no room for so many pieces.
   */
  addData(address: number, length: number, memory: GuestMemory): boolean {
    while (length > 0) {
      const host = memory.resolve(address, length);
      const n = this.segments;
      if (host === 0 || n === longestChain) return false;
      const piece = memory.resolved;
      this.guestAddresses[n] = address;
      this.hostAddresses[n] = host;
      this.lengths[n] = piece;
      this.segments = n + 1;
      this.length += piece;
      address += piece;
      length -= piece;
    }
    return true;
  }

  /** The next step for ranges: what is left of the range that `done` is in. */
  rangeStep(fd: number): boolean {
    let into = this.done;
    for (let n = 0; n < this.ranges; n++) {
      const length = this.rangeLengths[n] ?? 0;
      if (into < length) {
        const how = this.unmap ? Transfer.punch : Transfer.zero;
        return this.step(how, fd, (this.rangeOffsets[n] ?? 0) + into, length - into);
      }
      into -= length;
    }
    return false;
  }

  /** The next step: move up to `length` bytes between the data and `fd` at `position`. */
  step(transfer: Transfer, fd: number, position: number, length: number): true {
    this.transfer = transfer;
    this.fd = fd;
    this.position = position;
    this.stepLength = length;
    return true;
  }
}
