/**
 * Numbers on their way into C. The foreign-function layer takes NaN, fractions and 2^54 without a
 * word and hands garbage to the kernel, so every number is checked here first.
 */

/** `value` if it is an integer of `least` to `most`; else a RangeError that names it. */
export function integer(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${name} must be an integer from ${least} to ${most}, not ${value}`);
}

/** A file descriptor. */
export function descriptor(value: number): number {
  return integer('file descriptor', value, 0, 0x7fffffff);
}

/** A number of bytes, an offset in a file, or any other count of 0 or more. */
export function count(name: string, value: number): number {
  return integer(name, value, 0, Number.MAX_SAFE_INTEGER);
}

/** An address in this process: never in the first page, and in the half that is user space. */
export function address(value: number): number {
  return integer('address', value, 4096, 2 ** 52);
}

/** Flags and other words of 32 bits. */
export function word(name: string, value: number): number {
  return integer(name, value, 0, 0xffffffff);
}

/** A process or thread id. */
export function processId(value: number): number {
  return integer('process id', value, 1, 0x7fffffff);
}
