/** struct user_regs_struct of x86-64 (<sys/user.h>), in its order. */
const names = [
  'r15',
  'r14',
  'r13',
  'r12',
  'rbp',
  'rbx',
  'r11',
  'r10',
  'r9',
  'r8',
  'rax',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'orig_rax',
  'rip',
  'cs',
  'eflags',
  'rsp',
  'ss',
  'fs_base',
  'gs_base',
  'ds',
  'es',
  'fs',
  'gs',
] as const;

export type RegisterName = (typeof names)[number];

const places = new Map(names.map((name, index) => [name, index]));

/** Bytes of the structure. */
export const userRegistersSize = names.length * 8;

/** The registers of a thread, as ptrace(2) shows them. */
export class UserRegisters {
  constructor(readonly words = new BigUint64Array(names.length)) {}

  get(name: RegisterName): bigint {
    return this.words[places.get(name) ?? 0] ?? 0n;
  }

  /** A copy with some registers changed; negative values as two’s complement. */
  with(values: Partial<Record<RegisterName, bigint>>): UserRegisters {
    const copy = new UserRegisters(this.words.slice());
    for (const [name, value] of Object.entries(values)) {
      copy.words[places.get(name as RegisterName) ?? 0] = BigInt.asUintN(64, value);
    }
    return copy;
  }
}
