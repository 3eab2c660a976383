import { integer, processId } from './integers.js';
import { bind, bindSyscall } from './libc.js';

const processVmReadv = bind(
  'process_vm_readv',
  'int64 process_vm_readv(int, uint64, uint64, uint64, uint64, uint64)',
);
const processVmWritev = bind(
  'process_vm_writev',
  'int64 process_vm_writev(int, uint64, uint64, uint64, uint64, uint64)',
);
const pidfdOpen = bindSyscall('pidfd_open', 434);
const pidfdGetfd = bindSyscall('pidfd_getfd', 438);

/** iovecs in this process's memory: the address of the first, and how many. */
export interface Vectors {
  address: number;
  length: number;
}

/** Copy from another process's memory (`remote`) into ours (`local`); bytes copied, short at the first bad page. */
export function readProcessMemory(pid: number, local: Vectors, remote: Vectors): number {
  check(local, remote);
  return processVmReadv(
    processId(pid),
    local.address,
    local.length,
    remote.address,
    remote.length,
    0,
  );
}

/** Copy from our memory (`local`) into another process's (`remote`); bytes copied. */
export function writeProcessMemory(pid: number, local: Vectors, remote: Vectors): number {
  check(local, remote);
  return processVmWritev(
    processId(pid),
    local.address,
    local.length,
    remote.address,
    remote.length,
    0,
  );
}

/** A descriptor that stands for a process (pidfd_open(2)): readable when it has ended. */
export function openProcess(pid: number): number {
  return pidfdOpen(processId(pid), 0);
}

/** A duplicate of descriptor `fd` of the process behind `pidfd` (pidfd_getfd(2)). */
export function takeDescriptor(pidfd: number, fd: number): number {
  return pidfdGetfd(integer('pidfd', pidfd, 0, 0x7fffffff), integer('fd', fd, 0, 0x7fffffff), 0);
}

function check(...vectors: Vectors[]): void {
  for (const { length } of vectors) integer('vectors', length, 1, 1024);
}
