import { readlinkSync } from 'node:fs';
import { descriptor } from './integers.js';
import { bind, bindRaw } from './libc.js';
import { Mapping } from './mapping.js';

const close = bind('close', 'int close(int)');
const eventfd = bind('eventfd', 'int eventfd(uint, int)');
const rawWrite = bindRaw('int64 write(int, uint64, uint64)');

const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;

let one: Mapping | undefined;

/** A new eventfd(2) with count 0. */
export function createEvent(): number {
  return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/** Add one to an eventfd. That it is full already is as good: whoever waits for it is awake. */
export function signalEvent(fd: number): void {
  if (one === undefined) {
    one = Mapping.anonymous(8);
    one.viewAt(0).setBigUint64(0, 1n, true);
  }
  rawWrite(descriptor(fd), one.address, 8);
}

/** Whether `fd` is an eventfd: only such a one can be trusted never to block a write. */
export function isEvent(fd: number): boolean {
  return readlinkSync(`/proc/self/fd/${descriptor(fd)}`) === 'anon_inode:[eventfd]';
}

/** Close a descriptor that node:fs did not open: of those it keeps count, in a worker. */
export function closeDescriptor(fd: number): void {
  close(descriptor(fd));
}
