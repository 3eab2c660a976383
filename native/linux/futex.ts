import { address } from './integers.js';
import { bindRaw } from './libc.js';

const rawSyscall = bindRaw('int64 syscall(int64, uint64, uint64, uint64)');

/** futex(2) of x86-64; the word may be shared with other processes. */
const SYS_futex = 202;
const FUTEX_WAKE = 1;

/** Wake all that wait for the 32-bit word at `at` to change. */
export function wakeWaiters(at: number): void {
  rawSyscall(SYS_futex, address(at), FUTEX_WAKE, 0x7fffffff);
}
