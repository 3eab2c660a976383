import koffi from 'koffi';
import { SystemError } from './system-error.js';

/**
 * The C library of this process. Pointers are plain numbers (64-bit Linux user space ends far
 * below 2^53); what is behind them is reached through a Mapping, so no structs are described here.
 */
const library = koffi.load(null);

type Call = (...values: number[]) => number;

/** Declare a C function whose failure is −1 and errno. Callers check the numbers (integers.ts). */
export function bind(name: string, prototype: string): Call {
  const call = library.func(prototype) as unknown as Call;
  return (...values) => {
    const result = call(...values);
    if (result === -1) throw new SystemError(name, koffi.errno());
    return result;
  };
}

/**
 * As `bind`, but a failure is returned as −errno: for hot paths, where EAGAIN is no surprise. Takes
 * at most seven numbers, without an array of them: this is half the cost of a short call.
 */
export function bindRaw(prototype: string): Call {
  const call = library.func(prototype) as unknown as Call;
  const result = (value: number) => (value === -1 ? -koffi.errno() : value);
  const wrappers: Call[] = [
    () => result(call()),
    (a = 0) => result(call(a)),
    (a = 0, b = 0) => result(call(a, b)),
    (a = 0, b = 0, c = 0) => result(call(a, b, c)),
    (a = 0, b = 0, c = 0, d = 0) => result(call(a, b, c, d)),
    (a = 0, b = 0, c = 0, d = 0, e = 0) => result(call(a, b, c, d, e)),
    (a = 0, b = 0, c = 0, d = 0, e = 0, f = 0) => result(call(a, b, c, d, e, f)),
    (a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0) => result(call(a, b, c, d, e, f, g)),
  ];
  const wrapper = wrappers[prototype.split(',').length];
  if (wrapper === undefined) throw new RangeError(`too many parameters: ${prototype}`);
  return wrapper;
}

/** Declare a system call that the C library has no wrapper for. Its number is that of all 64-bit machines. */
export function bindSyscall(name: string, number: number): Call {
  const call = bind(name, 'int64 syscall(int64, uint64, uint64, uint64, uint64, uint64, uint64)');
  return (a = 0, b = 0, c = 0, d = 0, e = 0, f = 0) => call(number, a, b, c, d, e, f);
}

/** An ArrayBuffer over `length` bytes at `address`. Only for mapping.ts: it must not outlive them. */
export function viewOf(address: number, length: number): ArrayBuffer {
  return koffi.view(address, length);
}

/** Another library of this process, to declare functions of; undefined where it does not load. */
export function loadLibrary(file: string): ((prototype: string) => Call) | undefined {
  try {
    const other = koffi.load(file);
    return (prototype) => other.func(prototype);
  } catch {
    return undefined;
  }
}
