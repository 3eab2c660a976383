import { count, descriptor, integer, word } from './integers.js';
import { bind, bindRaw } from './libc.js';

const rawPreadv2 = bindRaw('int64 preadv2(int, uint64, int, int64, int)');
const rawPwritev2 = bindRaw('int64 pwritev2(int, uint64, int, int64, int)');
const rawFallocate = bindRaw('int fallocate(int, int, int64, int64)');
const fallocate = bind('fallocate', 'int fallocate(int, int, int64, int64)');
const rawFdatasync = bindRaw('int fdatasync(int)');

/** <linux/falloc.h>. */
export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const FALLOC_FL_ZERO_RANGE = 16;

/** <linux/fs.h>: the data and its metadata are on the medium when the write returns. */
export const RWF_DSYNC = 2;
/** Only what can be done without waiting for the medium. */
export const RWF_NOWAIT = 8;

/** Most vectors in one call (IOV_MAX). */
export const maxVectors = 1024;

/** preadv2(2) into the `vectors` iovecs at address `iovec`; bytes read, or −errno. */
export function readVectors(
  fd: number,
  iovec: number,
  vectors: number,
  offset: number,
  flags = 0,
): number {
  integer('vectors', vectors, 0, maxVectors);
  return rawPreadv2(descriptor(fd), iovec, vectors, count('offset', offset), word('flags', flags));
}

/** pwritev2(2) from the `vectors` iovecs at address `iovec`; bytes written, or −errno. */
export function writeVectors(
  fd: number,
  iovec: number,
  vectors: number,
  offset: number,
  flags: number,
): number {
  integer('vectors', vectors, 0, maxVectors);
  return rawPwritev2(descriptor(fd), iovec, vectors, count('offset', offset), word('flags', flags));
}

/** fallocate(2) for I/O paths; 0, or −errno. */
export function changeAllocation(fd: number, mode: number, offset: number, length: number): number {
  return rawFallocate(
    descriptor(fd),
    word('mode', mode),
    count('offset', offset),
    integer('length', length, 1, Number.MAX_SAFE_INTEGER),
  );
}

/** fallocate(2): reserve room on the medium, so that later writes to it cannot fail for want of it. */
export function reserveRoom(fd: number, offset: number, length: number): void {
  fallocate(descriptor(fd), 0, count('offset', offset), count('length', length));
}

/** fdatasync(2); 0, or −errno. */
export function syncData(fd: number): number {
  return rawFdatasync(descriptor(fd));
}
