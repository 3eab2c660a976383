import { ftruncateSync } from 'node:fs';
import { count, descriptor } from './integers.js';
import { bind, bindRaw } from './libc.js';

const memfdCreate = bind('memfd_create', 'int memfd_create(const char *, uint)') as unknown as (
  name: string,
  flags: number,
) => number;

const rawFcntl = bindRaw('int fcntl(int, int, int)');

const MFD_CLOEXEC = 1;
const F_ADD_SEALS = 1033;
const F_SEAL_SHRINK = 2;

/** A file in memory of `length` bytes, to be shared by its descriptor (memfd_create(2)). */
export function createMemoryFile(name: string, length: number): number {
  const fd = memfdCreate(name, MFD_CLOEXEC);
  ftruncateSync(fd, count('length', length));
  return fd;
}

/**
 * Have nobody shorten a file in memory any more, so that no page of it that is mapped here can
 * vanish (SIGBUS). False where its maker did not allow seals (fcntl(2)).
 */
export function sealAgainstShrinking(fd: number): boolean {
  return rawFcntl(descriptor(fd), F_ADD_SEALS, F_SEAL_SHRINK) === 0;
}
