import { readlinkSync } from 'node:fs';
import { descriptor, integer } from './integers.js';
import { bind, bindRaw } from './libc.js';
import { Mapping } from './mapping.js';

const close = bind('close', 'int close(int)');
const eventfd = bind('eventfd', 'int eventfd(uint, int)');
const rawWrite = bindRaw('int64 write(int, uint64, uint64)');

const rawRead = bindRaw('int64 read(int, uint64, uint64)');

const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;

let one: Mapping | undefined;
let word: Mapping | undefined;

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

/** Set an eventfd that does not block back to 0; what it had counted. */
export function readEvent(fd: number): bigint {
  word ??= Mapping.anonymous(8);
  return rawRead(descriptor(fd), word.address, 8) === 8 ? word.viewAt(0).getBigUint64(0, true) : 0n;
}

/** Add `count` to an eventfd. */
export function writeEvent(fd: number, count: number): void {
  word ??= Mapping.anonymous(8);
  word.viewAt(0).setBigUint64(0, BigInt(integer('count', count, 1, 0xffffffff)), true);
  rawWrite(descriptor(fd), word.address, 8);
}

/** Whether `fd` is an eventfd: only such a one can be trusted never to block a write. */
export function isEvent(fd: number): boolean {
  return readlinkSync(`/proc/self/fd/${descriptor(fd)}`) === 'anon_inode:[eventfd]';
}

/** Close a descriptor that node:fs did not open: of those it keeps count, in a worker. */
export function closeDescriptor(fd: number): void {
  close(descriptor(fd));
}
