import type { GuestMemory } from '../memory/guest-memory.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import { QueueViolation } from '../queue/violation.js';
import { readStream, streamLength } from './guest-bytes.js';
import {
  headerLength,
  limits,
  rangeLength,
  RequestType,
  sectorSize,
  Status,
  unmapFlag,
} from './protocol.js';
import type { BlockRequest } from './request.js';

const header = new DataView(new ArrayBuffer(headerLength));
const headerBytes = new Uint8Array(header.buffer);
const ranges = new DataView(new ArrayBuffer(rangeLength * limits.ranges));

/**
 * Make a request of a chain (VIRTIO 1.2, 5.2.6): the header from its first 16 readable bytes, the
 * status byte at its very end, and between them the data, however they are cut into buffers.
 * `sectors` is the disk’s size. Returns the status to answer at once, or undefined if the request
 * is sound. Throws QueueViolation if no answer is possible, or memory was named that is not there.
 */
export function parseRequest(
  chain: DescriptorChain,
  request: BlockRequest,
  memory: GuestMemory,
  sectors: number,
): Status | undefined {
  const { readable, count } = chain;
  request.segments = request.length = request.done = request.ranges = 0;
  request.statusAddress = statusAddress(chain);
  if (!memory.contains(request.statusAddress, 1)) {
    throw new QueueViolation('status outside memory');
  }
  const firstIsHeader = readable > 0 && chain.lengths[0] === headerLength;
  if (firstIsHeader) {
    if (!memory.open(chain.addresses[0] ?? 0, headerLength)) {
      throw new QueueViolation('header outside memory');
    }
    request.type = memory.view.getUint32(memory.at, true);
    request.offset = readOffset(memory.view, memory.at + 8);
  } else {
    if (!readStream(chain, 0, headerBytes, memory)) {
      throw new QueueViolation('no whole header in memory');
    }
    request.type = header.getUint32(0, true);
    request.offset = readOffset(header, 8);
  }
  switch (request.type) {
    case RequestType.in:
    case RequestType.getId:
      addBuffers(request, chain, readable, count, 0, 1, memory);
      return request.type === RequestType.in ? checkRange(request, sectors) : undefined;
    case RequestType.out:
      addBuffers(request, chain, 0, readable, headerLength, 0, memory);
      return checkRange(request, sectors);
    case RequestType.flush:
      request.length = 1; // one step, done or not
      return undefined;
    case RequestType.discard:
    case RequestType.writeZeroes:
      return readRanges(request, chain, memory, sectors);
    default:
      return Status.unsupported;
  }
}

/** The last byte of the last buffer to write that has any. */
function statusAddress(chain: DescriptorChain): number {
  for (let n = chain.count - 1; n >= chain.readable; n--) {
    const length = chain.lengths[n] ?? 0;
    if (length > 0) return (chain.addresses[n] ?? 0) + length - 1;
  }
  throw new QueueViolation('request without room for its status');
}

/** A sector number as bytes. Beyond 2^53 it is not exact, but then it is beyond any disk too. */
function readOffset(view: DataView, at: number): number {
  return (view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32) * sectorSize;
}

/** The data: buffers `from` up to `to`, but for the first `skip` bytes and the last `spare`. */
function addBuffers(
  request: BlockRequest,
  chain: DescriptorChain,
  from: number,
  to: number,
  skip: number,
  spare: number,
  memory: GuestMemory,
): void {
  let left = streamLength(chain, from, to) - skip - spare;
  for (let n = from; n < to && left > 0; n++) {
    const length = chain.lengths[n] ?? 0;
    const skipped = Math.min(skip, length);
    skip -= skipped;
    const piece = Math.min(length - skipped, left);
    left -= piece;
    if (!request.addData((chain.addresses[n] ?? 0) + skipped, piece, memory)) {
      throw new QueueViolation('data outside memory');
    }
  }
}

function checkRange(request: BlockRequest, sectors: number): Status | undefined {
  const { offset, length } = request;
  // By bits: the remainder of a floating-point number is slow.
  if ((length & (sectorSize - 1)) !== 0 || offset + length > sectors * sectorSize)
    return Status.ioError;
  return undefined;
}

/** Ranges of struct virtio_blk_discard_write_zeroes: sector, number of sectors, flags. */
function readRanges(
  request: BlockRequest,
  chain: DescriptorChain,
  memory: GuestMemory,
  sectors: number,
): Status | undefined {
  const length = streamLength(chain, 0, chain.readable) - headerLength;
  const count = length / rangeLength;
  if (!Number.isInteger(count) || count === 0 || count > limits.ranges) return Status.ioError;
  if (!readStream(chain, headerLength, new Uint8Array(ranges.buffer, 0, length), memory)) {
    throw new QueueViolation('ranges outside memory');
  }
  const allowed = request.type === RequestType.writeZeroes ? unmapFlag : 0;
  request.unmap = true;
  for (let n = 0; n < count; n++) {
    const at = n * rangeLength;
    const offset = readOffset(ranges, at);
    const covered = ranges.getUint32(at + 8, true);
    const flags = ranges.getUint32(at + 12, true);
    if ((flags & ~allowed) !== 0) return Status.unsupported;
    if (flags !== allowed) request.unmap = false;
    if (covered > limits.rangeSectors) return Status.ioError;
    if (offset + covered * sectorSize > sectors * sectorSize) return Status.ioError;
    request.rangeOffsets[n] = offset;
    request.rangeLengths[n] = covered * sectorSize;
    request.length += covered * sectorSize;
  }
  request.ranges = count;
  return undefined;
}
