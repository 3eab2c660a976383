import type { UserRegisters } from '../../../native/linux/user-registers.js';
import type { Gadgets } from './gadgets.js';

/** __NR_rt_sigreturn of x86-64. */
const NR_rt_sigreturn = 15n;

/** struct rt_sigframe without its return address, as far as the kernel reads it (arch/x86/kernel/signal_64.c). */
const Frame = {
  stackFlags: 24,
  /** General registers, in the order below, from here on. */
  registers: 40,
  codeSegment: 40 + 144,
  stackSegment: 40 + 144 + 6,
  floatingPoint: 40 + 184,
  signalMask: 40 + 256,
  size: 40 + 256 + 8,
};

/** struct sigcontext_64. */
const sigcontext = [
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rdi',
  'rsi',
  'rbp',
  'rbx',
  'rdx',
  'rax',
  'rcx',
  'rsp',
  'rip',
  'eflags',
] as const;

/** A value of ss_flags that sigaltstack(2) refuses: the thread keeps the alternate stack that it has. */
const keepStack = 0x7ffffff0;

/** Bytes below the stack pointer that belong to the function there (System V ABI, the red zone). */
const redZone = 128;

/** Room for what a call's arguments point to. */
export const parameterRoom = 1024;

/** A system call ready to be made by a stopped thread. */
export interface CallFrame {
  /** Where `bytes` must lie, below the thread's stack. */
  address: number;
  bytes: Uint8Array;
  /** What the thread must be set to. */
  registers: UserRegisters;
}

/** The address at which the parameters of a call are put. */
export function parameterAddress(saved: UserRegisters): number {
  return alignDown(Number(saved.get('rsp')) - redZone - parameterRoom);
}

/**
 * String together: the system call `number`, then a return to what the thread was doing (`saved`,
 * with `signalMask` blocked) by way of rt_sigreturn(2). So if we die at any moment the thread makes
 * the call at most, and goes on where it was. The floating-point registers are not kept on that
 * way: the thread is inside a system call, so to its program they are undefined.
 */
export function callFrame(
  gadgets: Gadgets,
  saved: UserRegisters,
  signalMask: bigint,
  number: number,
  args: bigint[],
): CallFrame {
  // pop %rax; ret; syscall; ret — three words, then the frame that the second call reads at its stack pointer.
  const { address, bytes } = signalFrame(saved, signalMask);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(gadgets.popRax), true);
  view.setBigUint64(8, NR_rt_sigreturn, true);
  view.setBigUint64(16, BigInt(gadgets.syscall), true);
  const [rdi = 0n, rsi = 0n, rdx = 0n, r10 = 0n, r8 = 0n, r9 = 0n] = args;
  const registers = saved.with({
    rip: BigInt(gadgets.syscall),
    rsp: BigInt(address),
    rax: BigInt(number),
    orig_rax: -1n,
    ...{ rdi, rsi, rdx, r10, r8, r9 },
  });
  return { address, bytes, registers };
}

/** Words before the frame proper. */
const chainWords = 3;

/** Where rt_sigreturn(2) reads its frame: what the stack pointer must be then. */
export function frameAddress(frame: { address: number }): number {
  return frame.address + chainWords * 8;
}

/** A signal frame by which a thread becomes what `saved` says; the words before it are still free. */
export function signalFrame(
  saved: UserRegisters,
  signalMask: bigint,
): { address: number; bytes: Uint8Array } {
  const address = alignDown(parameterAddress(saved) - Frame.size - chainWords * 8);
  const bytes = new Uint8Array(chainWords * 8 + Frame.size);
  const view = new DataView(bytes.buffer);
  const frame = chainWords * 8;
  view.setUint32(frame + Frame.stackFlags, keepStack, true);
  sigcontext.forEach((name, index) => {
    view.setBigUint64(frame + Frame.registers + index * 8, saved.get(name), true);
  });
  view.setUint16(frame + Frame.codeSegment, Number(saved.get('cs')), true);
  view.setUint16(frame + Frame.stackSegment, Number(saved.get('ss')), true);
  view.setBigUint64(frame + Frame.signalMask, signalMask, true);
  return { address, bytes };
}

function alignDown(address: number): number {
  return address - (address % 64);
}
