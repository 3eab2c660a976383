import { integer, processId } from './integers.js';
import { bind, bindRaw, bindSyscall } from './libc.js';

const processVmReadv = bind(
  'process_vm_readv',
  'int64 process_vm_readv(int, uint64, uint64, uint64, uint64, uint64)',
);
const processVmWritev = bind(
  'process_vm_writev',
  'int64 process_vm_writev(int, uint64, uint64, uint64, uint64, uint64)',
);
const rawReadv = bindRaw('int64 process_vm_readv(int, uint64, uint64, uint64, uint64, uint64)');
const rawWritev = bindRaw('int64 process_vm_writev(int, uint64, uint64, uint64, uint64, uint64)');
const pidfdOpen = bindSyscall('pidfd_open', 434);
const pidfdGetfd = bindSyscall('pidfd_getfd', 438);

/** Most iovecs in one call (IOV_MAX). */
export const mostVectors = 1024;

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

/** As `readProcessMemory`, for I/O paths: bytes copied, or −errno. */
export function copyFromProcess(pid: number, local: Vectors, remote: Vectors): number {
  check(local, remote);
  const id = processId(pid);
  return rawReadv(id, local.address, local.length, remote.address, remote.length, 0);
}

/** As `writeProcessMemory`, for I/O paths: bytes copied, or −errno. */
export function copyToProcess(pid: number, local: Vectors, remote: Vectors): number {
  check(local, remote);
  const id = processId(pid);
  return rawWritev(id, local.address, local.length, remote.address, remote.length, 0);
}

/** A descriptor that stands for a process (pidfd_open(2)): readable when it has ended. */
export function openProcess(pid: number): number {
  return pidfdOpen(processId(pid), 0);
}

/** A duplicate of descriptor `fd` of the process behind `pidfd` (pidfd_getfd(2)). */
export function takeDescriptor(pidfd: number, fd: number): number {
  return pidfdGetfd(integer('pidfd', pidfd, 0, 0x7fffffff), integer('fd', fd, 0, 0x7fffffff), 0);
}

function check(local: Vectors, remote: Vectors): void {
  integer('vectors', local.length, 1, mostVectors);
  integer('vectors', remote.length, 1, mostVectors);
}
