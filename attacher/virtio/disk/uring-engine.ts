import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  readVectors,
  RWF_DSYNC,
  RWF_NOWAIT,
} from '../../../native/linux/file-io.js';
import {
  IORING_FSYNC_DATASYNC,
  IORING_OP_FSYNC,
  IORING_OP_READ,
  IORING_OP_READV,
  IORING_OP_WRITE,
  IORING_OP_WRITEV,
  IoUring,
  type Operation,
} from '../../../native/linux/io-uring.js';
import { Transfer } from '../block/request.js';
import { mostRequests, type IoEngine, type Step } from './io-engine.js';
import { Vectors } from './vectors.js';

/**
 * Transfers by io_uring: all that were started go to the kernel in one system call, but for reads
 * that wait for the medium. A read that is alone is first tried without, for in the page cache that
 * is cheaper.
 */
export class UringEngine implements IoEngine {
  readonly name = 'io_uring';
  readonly fd: number;
  readonly #ring: IoUring;
  readonly #vectors = new Vectors();
  /** By tag, the length of a step that is done as a whole and whose result is only 0. */
  readonly #wholeStep = new Float64Array(mostRequests);
  readonly #operation: Operation = {
    opcode: 0,
    fd: 0,
    address: 0,
    length: 0,
    offset: 0,
    opFlags: 0,
  };

  /** Each read had better begin at once then: those that begin together end together, and the medium rests. */
  slow = false;
  /** What was queued last is a read. */
  #reads = false;
  /** The only transfer started since the last submission, a read; not in the ring yet. */
  #alone: Step | undefined;
  /** The tag and result of such a read that is done; no tag: −1. */
  #readTag = -1;
  #readResult = 0;

  private constructor(ring: IoUring) {
    this.#ring = ring;
    this.fd = ring.fd;
  }

  /** Undefined where the kernel has no io_uring for us. */
  static open(): UringEngine | undefined {
    const ring = IoUring.open(mostRequests);
    return ring && new UringEngine(ring);
  }

  start(request: Step): void {
    const first = this.#alone;
    if (
      !this.slow &&
      first === undefined &&
      request.transfer === Transfer.read &&
      this.#ring.pending === 0
    ) {
      this.#alone = request;
      return;
    }
    if (first !== undefined) {
      this.#alone = undefined;
      this.#queue(first);
    }
    this.#queue(request);
  }

  submit(wait: boolean): void {
    const alone = this.#alone;
    if (alone !== undefined) {
      this.#alone = undefined;
      if (this.#readNow(alone)) return;
      this.#queue(alone);
    }
    const some = this.#ring.pending > 0;
    const atOnce = this.#ring.submit(wait ? 1 : 0);
    if (some && this.#reads) this.slow = !atOnce;
  }

  complete(callback: (tag: number, result: number) => void): void {
    const ring = this.#ring;
    const read = this.#readTag;
    if (read >= 0) {
      this.#readTag = -1;
      callback(read, this.#readResult);
    }
    while (ring.next()) {
      const { tag, result } = ring;
      callback(tag, result === 0 ? (this.#wholeStep[tag] ?? 0) : result);
    }
  }

  close(): void {
    this.#ring.close();
    this.#vectors.close();
  }

  /** Read what is in the page cache; false if nothing is there, or an error is to be told by the ring. */
  #readNow(request: Step): boolean {
    this.#vectors.fill(request);
    const { address, count } = this.#vectors;
    const result = readVectors(request.fd, address, count, request.position, RWF_NOWAIT);
    if (result <= 0) return false;
    this.#readTag = request.tag;
    this.#readResult = result;
    return true;
  }

  #queue(request: Step): void {
    const { tag, transfer, fd } = request;
    const operation = this.#operation;
    this.#wholeStep[tag] = 0;
    this.#reads = transfer === Transfer.read;
    operation.fd = fd;
    operation.offset = request.position;
    operation.opFlags = 0;
    switch (transfer) {
      case Transfer.read:
        this.#setBuffers(request, IORING_OP_READ, IORING_OP_READV);
        break;
      case Transfer.write:
        this.#setBuffers(request, IORING_OP_WRITE, IORING_OP_WRITEV);
        if (request.durable) operation.opFlags = RWF_DSYNC;
        break;
      case Transfer.sync:
        operation.opcode = IORING_OP_FSYNC;
        operation.address = operation.length = operation.offset = 0;
        operation.opFlags = IORING_FSYNC_DATASYNC;
        this.#wholeStep[tag] = request.stepLength;
        break;
      case Transfer.punch:
      case Transfer.zero: {
        const how = transfer === Transfer.punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
        const mode = FALLOC_FL_KEEP_SIZE | how;
        this.#wholeStep[tag] = request.stepLength;
        while (!this.#ring.pushFallocate(fd, mode, request.position, request.stepLength, tag)) {
          this.#ring.submit(1);
        }
        return;
      }
    }
    while (!this.#ring.push(operation, tag)) this.#ring.submit(1);
    if (this.slow && this.#reads) this.slow = !this.#ring.submit();
  }

  /** One buffer goes as it is, several as a vector. */
  #setBuffers(request: Step, single: number, vectored: number): void {
    const operation = this.#operation;
    if (request.segments === 1) {
      operation.opcode = single;
      operation.address = (request.hostAddresses[0] ?? 0) + request.done;
      operation.length = request.stepLength;
      return;
    }
    this.#vectors.fill(request);
    operation.opcode = vectored;
    operation.address = this.#vectors.address;
    operation.length = this.#vectors.count;
  }
}
