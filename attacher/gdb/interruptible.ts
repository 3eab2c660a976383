/** Where a processor may be sent elsewhere as if by an interrupt. */

const EFLAGS_TF = 1n << 8n;
export const EFLAGS_IF = 1n << 9n;
const EFER_LMA = 1n << 10n;

/** Bytes of the kernel at an address; undefined where there are none. */
export type ReadKernel = (address: bigint, length: number) => Uint8Array | undefined;

/** Instructions that wait for an interrupt: hlt, mwait, mwaitx. */
const resting = [[0xf4], [0x0f, 0x01, 0xc9], [0x0f, 0x01, 0xfb]];
const longest = 3;

/** The kernel's code and its modules' are from here on (Documentation/arch/x86/x86_64/mm.rst). */
const kernelCode = 0xffff_ffff_8000_0000n;

/**
 * Whether a processor with these registers is in a 64-bit kernel, with interrupts enabled, and not
 * traced there. One that was sent to another stage is not: perhaps it waits for an interrupt there.
 */
export function isInterruptible(registers: ReadonlyMap<string, bigint>): boolean {
  const value = (name: string) => registers.get(name) ?? 0n;
  const flags = value('eflags');
  return (
    (value('cs') & 3n) === 0n &&
    value('rip') >= kernelCode &&
    (flags & EFLAGS_IF) !== 0n &&
    (flags & EFLAGS_TF) === 0n &&
    (value('efer') & EFER_LMA) !== 0n
  );
}

/**
 * Where a processor at `rip` is to go on, and whether it may be waiting for an interrupt now: such a one
 * must have them enabled to wake. One that is about to wait goes on behind that, as the kernel looks
 * for work before it and not again. Undefined where its instructions are not there.
 */
export function afterRest(
  kernel: ReadKernel,
  rip: bigint,
): { resume: bigint; waits: boolean } | undefined {
  const bytes = kernel(rip - BigInt(longest), 2 * longest);
  if (bytes === undefined) return undefined;
  const isAt = (at: number, instruction: readonly number[]) =>
    instruction.every((byte, n) => bytes[at + n] === byte);
  const next = resting.find((instruction) => isAt(longest, instruction));
  if (next) return { resume: rip + BigInt(next.length), waits: false };
  const waits = resting.some((instruction) => isAt(longest - instruction.length, instruction));
  return { resume: rip, waits };
}
