import { address, integer } from './integers.js';
import { Mapping } from './mapping.js';
import { bindRaw } from './libc.js';

const rawSyscall = bindRaw('int64 syscall(int64, uint64, uint64, uint64, uint64)');

/** futex(2) of x86-64; the word may be shared with other processes. */
const SYS_futex = 202;
const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;

/** Wake all that wait for the 32-bit word at `at` to change. */
export function wakeWaiters(at: number): void {
  rawSyscall(SYS_futex, address(at), FUTEX_WAKE, 0x7fffffff, 0);
}

let timeout: Mapping | undefined;

/** Sleep, this thread with all it does, until the word at `at` is no longer `value`, or for so many milliseconds. */
export function waitForChange(at: number, value: number, milliseconds: number): void {
  timeout ??= Mapping.anonymous(16);
  const view = timeout.viewAt(0);
  view.setBigUint64(0, 0n, true);
  view.setBigUint64(8, BigInt(integer('milliseconds', milliseconds, 1, 999)) * 1_000_000n, true);
  rawSyscall(SYS_futex, address(at), FUTEX_WAIT, value >>> 0, timeout.address);
}
