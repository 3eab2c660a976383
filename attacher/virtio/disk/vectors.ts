import { Mapping } from '../../../native/linux/mapping.js';
import { longestChain } from '../queue/descriptor-chain.js';
import { mostRequests, type Step } from './io-engine.js';

const vectorSize = 16;

/** struct iovec arrays, one for each request that may be under way. */
export class Vectors {
  readonly #mapping = Mapping.anonymous(mostRequests * longestChain * vectorSize);
  readonly #view = this.#mapping.viewAt(0);
  /** Of the last `fill`: where the array is, and its length. */
  address = 0;
  count = 0;

  /** Describe the request’s data from its `done` on, for `stepLength` bytes. */
  fill(request: Step): void {
    const base = request.tag * longestChain * vectorSize;
    const { segments, hostAddresses, lengths } = request;
    let skip = request.done;
    let left = request.stepLength;
    let count = 0;
    for (let n = 0; n < segments && left > 0; n++) {
      const length = lengths[n] ?? 0;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const piece = Math.min(length - skip, left);
      const host = (hostAddresses[n] ?? 0) + skip;
      const at = base + count * vectorSize;
      this.#view.setUint32(at, host >>> 0, true);
      this.#view.setUint32(at + 4, Math.floor(host / 2 ** 32), true);
      this.#view.setUint32(at + 8, piece, true);
      this.#view.setUint32(at + 12, 0, true);
      left -= piece;
      skip = 0;
      count++;
    }
    this.address = this.#mapping.address + base;
    this.count = count;
  }

  close(): void {
    this.#mapping.close();
  }
}
