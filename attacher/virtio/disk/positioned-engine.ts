import {
  changeAllocation,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  readVectors,
  RWF_DSYNC,
  syncData,
  writeVectors,
} from '../../../native/linux/file-io.js';
import { Transfer } from '../block/request.js';
import type { IoEngine, Step } from './io-engine.js';
import { Vectors } from './vectors.js';

/** Transfers by preadv2(2) and its like, one after another, where the kernel has no io_uring for us. */
export class PositionedEngine implements IoEngine {
  readonly name = 'positioned';
  readonly fd = undefined;
  readonly slow = false;
  readonly #vectors = new Vectors();
  readonly #started: Step[] = [];
  readonly #completed: { tag: number; result: number }[] = [];

  start(request: Step): void {
    this.#started.push(request);
  }

  submit(): void {
    for (const request of this.#started.splice(0)) {
      this.#completed.push({ tag: request.tag, result: this.#carryOut(request) });
    }
  }

  complete(callback: (tag: number, result: number) => void): void {
    for (const { tag, result } of this.#completed.splice(0)) callback(tag, result);
  }

  close(): void {
    this.#vectors.close();
  }

  #carryOut(request: Step): number {
    const { transfer, fd, position, stepLength, durable } = request;
    const vectors = this.#vectors;
    switch (transfer) {
      case Transfer.read:
        vectors.fill(request);
        return readVectors(fd, vectors.address, vectors.count, position);
      case Transfer.write:
        vectors.fill(request);
        return writeVectors(fd, vectors.address, vectors.count, position, durable ? RWF_DSYNC : 0);
      case Transfer.sync:
        return whole(syncData(fd), stepLength);
      case Transfer.punch:
      case Transfer.zero: {
        const how = transfer === Transfer.punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
        const mode = FALLOC_FL_KEEP_SIZE | how;
        return whole(changeAllocation(fd, mode, position, stepLength), stepLength);
      }
    }
  }
}

/** The result of a call that does all or nothing, as a number of bytes. */
function whole(result: number, length: number): number {
  return result === 0 ? length : result;
}
