import type { GuestMemory } from '../memory/guest-memory.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';

/**
 * Copy `target.length` bytes out of the chain’s readable buffers, from `offset` of the stream they
 * make; false if there are not so many or one is outside memory. For the small things only.
 */
export function readStream(
  chain: DescriptorChain,
  offset: number,
  target: Uint8Array,
  memory: GuestMemory,
): boolean {
  let filled = 0;
  for (let n = 0; n < chain.readable && filled < target.length; n++) {
    const length = chain.lengths[n] ?? 0;
    if (offset >= length) {
      offset -= length;
      continue;
    }
    const piece = Math.min(length - offset, target.length - filled);
    if (!memory.open((chain.addresses[n] ?? 0) + offset, piece)) return false;
    const { view, at } = memory;
    target.set(new Uint8Array(view.buffer, at, piece), filled);
    filled += piece;
    offset = 0;
  }
  return filled === target.length;
}

/** How many bytes the chain’s buffers `from` up to `to` have. */
export function streamLength(chain: DescriptorChain, from: number, to: number): number {
  let total = 0;
  for (let n = from; n < to; n++) total += chain.lengths[n] ?? 0;
  return total;
}
