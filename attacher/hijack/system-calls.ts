import { pageSize } from './arena.js';
import type { StoppedThread } from './inject/stopped-thread.js';

/** System calls of x86-64 that an attach makes in the hypervisor, besides those on its VM. */
const NR = { close: 3, mmap: 9, munmap: 11, eventfd2: 290, memfd_create: 319 };

const PROT_READ_WRITE = 3;
const PROT_READ_EXEC = 5;
const MAP_SHARED = 1;
const MAP_FIXED = 0x10;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;

/** memfd_create(2): a descriptor of the hypervisor's. */
export function createMemoryFileIn(thread: StoppedThread, name: string): number {
  const bytes = new TextEncoder().encode(`${name}\0`);
  return thread.call(
    'memfd_create',
    NR.memfd_create,
    ['pointer', MFD_CLOEXEC | MFD_ALLOW_SEALING],
    bytes,
  );
}

/** mmap(2) of a whole file, shared and writable: the address. */
export function mapIn(thread: StoppedThread, fd: number, size: number): number {
  return thread.call('mmap', NR.mmap, [0, size, PROT_READ_WRITE, MAP_SHARED, fd, 0]);
}

/** mmap(2) of a page of a file at `address`, readable and executable, in place of what is there. */
export function mapCodeIn(
  thread: StoppedThread,
  fd: number,
  offset: number,
  address: number,
): void {
  const flags = MAP_SHARED | MAP_FIXED;
  thread.call('mmap', NR.mmap, [address, pageSize, PROT_READ_EXEC, flags, fd, offset]);
}

/** munmap(2). */
export function unmapIn(thread: StoppedThread, address: number, size: number): void {
  thread.call('munmap', NR.munmap, [address, size]);
}

/** eventfd(2) with `count`: a descriptor of the hypervisor's. */
export function createEventIn(thread: StoppedThread, count: number): number {
  return thread.call('eventfd', NR.eventfd2, [count, EFD_CLOEXEC | EFD_NONBLOCK]);
}

/** close(2). */
export function closeIn(thread: StoppedThread, fd: number): void {
  thread.call('close', NR.close, [fd]);
}
