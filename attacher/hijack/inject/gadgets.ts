import type { MemoryArea } from '../../../native/linux/memory-map.js';

/** Instructions that the target has anyway, by address: what an injected call is strung together from. */
export interface Gadgets {
  /** `syscall; ret`. */
  syscall: number;
  /** `pop %rax; ret`. */
  popRax: number;
}

const syscallRet = Buffer.from([0x0f, 0x05, 0xc3]);
const popRaxRet = Buffer.from([0x58, 0xc3]);

/** No program has more code than this that is worth a look, in bytes. */
const mostCode = 256 * 2 ** 20;

/**
 * Find the gadgets in the executable mappings of a process; undefined if it has not got them. The
 * bytes need not be instructions of the program's own: the processor decodes from wherever it is sent.
 */
export function findGadgets(
  areas: MemoryArea[],
  read: (address: number, length: number) => Uint8Array,
): Gadgets | undefined {
  const found: Partial<Gadgets> = {};
  let looked = 0;
  for (const area of nearestFirst(areas)) {
    const length = area.end - area.start;
    if ((looked += length) > mostCode) break;
    const bytes = Buffer.from(read(area.start, length));
    const syscall = bytes.indexOf(syscallRet);
    const popRax = bytes.indexOf(popRaxRet);
    if (syscall >= 0) found.syscall ??= area.start + syscall;
    if (popRax >= 0) found.popRax ??= area.start + popRax;
    if (found.syscall !== undefined && found.popRax !== undefined) {
      return { syscall: found.syscall, popRax: found.popRax };
    }
  }
  return undefined;
}

/** The C library, small and full of system calls, before anything else. */
function nearestFirst(areas: MemoryArea[]): MemoryArea[] {
  const code = areas.filter(
    (area) => area.executable && area.readable && area.name !== '[vsyscall]',
  );
  const isLibc = ({ name }: MemoryArea) => /\/(libc[.-]|ld-musl)/.test(name);
  return [...code.filter(isLibc), ...code.filter((area) => !isLibc(area))];
}
