/**
 * struct kvm_run and what it holds (arch/x86/include/uapi/asm/kvm.h, include/uapi/linux/kvm.h):
 * all little endian, all offsets part of the kernel's ABI.
 */
export const KvmRun = {
  validRegisters: 288,
  dirtyRegisters: 296,
  registers: 304,
  specialRegisters: 304 + 144,
  end: 304 + 144 + 312,
} as const;

/** KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS: registers to be stored whenever KVM_RUN returns. */
export const syncRegisters = 3n;

/** General registers in the order of struct kvm_regs. */
export const generalRegisters = [
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip', 'rflags'],
] as readonly (
  | 'rax'
  | 'rbx'
  | 'rcx'
  | 'rdx'
  | 'rsi'
  | 'rdi'
  | 'rsp'
  | 'rbp'
  | 'r8'
  | 'r9'
  | 'r10'
  | 'r11'
  | 'r12'
  | 'r13'
  | 'r14'
  | 'r15'
  | 'rip'
  | 'rflags'
)[];

export type GeneralRegisters = Record<(typeof generalRegisters)[number], bigint>;

/** A segment register with its hidden part. */
export interface Segment {
  base: bigint;
  limit: number;
  selector: number;
  /** Privilege level: 3 is user mode. */
  privilege: number;
  /** 64-bit code. */
  long: boolean;
}

/** Registers of a virtual processor. */
export interface Registers extends GeneralRegisters {
  cs: Segment;
  ss: Segment;
  cr0: bigint;
  cr2: bigint;
  cr3: bigint;
  cr4: bigint;
  efer: bigint;
  apicBase: bigint;
}

/** Offsets in struct kvm_sregs. */
const Special = {
  cs: 0,
  ss: 5 * 24,
  cr0: 224,
  cr2: 232,
  cr3: 240,
  cr4: 248,
  efer: 264,
  apicBase: 272,
};

/** Bit 1 of RFLAGS is always set: where it is not, nothing was stored. */
const RFLAGS_FIXED = 2n;
const CR0_PE = 1n;

/** Decode the registers in a copy of struct kvm_run. */
export function decodeRegisters(run: DataView): Registers {
  const word = (offset: number) => run.getBigUint64(offset, true);
  const special = (offset: number) => word(KvmRun.specialRegisters + offset);
  const general = Object.fromEntries(
    generalRegisters.map((name, n) => [name, word(KvmRun.registers + 8 * n)]),
  ) as GeneralRegisters;
  return {
    ...general,
    cs: decodeSegment(run, KvmRun.specialRegisters + Special.cs),
    ss: decodeSegment(run, KvmRun.specialRegisters + Special.ss),
    cr0: special(Special.cr0),
    cr2: special(Special.cr2),
    cr3: special(Special.cr3),
    cr4: special(Special.cr4),
    efer: special(Special.efer),
    apicBase: special(Special.apicBase),
  };
}

function decodeSegment(run: DataView, at: number): Segment {
  return {
    base: run.getBigUint64(at, true),
    limit: run.getUint32(at + 8, true),
    selector: run.getUint16(at + 12, true),
    privilege: run.getUint8(at + 16) & 3,
    long: run.getUint8(at + 19) === 1,
  };
}

const impossible = 2n ** 64n - 1n;

/** Overwrite what no processor can have, so that it shows when registers were stored since. */
export function poisonRegisters(run: DataView): void {
  run.setBigUint64(rflagsAt, 0n, true);
  run.setBigUint64(cr0At, 0n, true);
  run.setBigUint64(apicBaseAt, impossible, true);
}

/** Whether all registers were stored since `poisonRegisters`. */
export function areStored(run: DataView): boolean {
  return (
    (run.getBigUint64(rflagsAt, true) & RFLAGS_FIXED) !== 0n &&
    run.getBigUint64(apicBaseAt, true) !== impossible
  );
}

const rflagsAt = KvmRun.registers + 8 * 17;
const cr0At = KvmRun.specialRegisters + Special.cr0;
const apicBaseAt = KvmRun.specialRegisters + Special.apicBase;

/** Whether these can be registers of a processor in protected mode or beyond, stored as a whole. */
export function arePlausible({ rflags, cr0, cr3, efer }: Registers): boolean {
  return (
    (rflags & RFLAGS_FIXED) !== 0n &&
    rflags < 2n ** 22n &&
    cr3 < 2n ** 63n &&
    efer < 2n ** 32n &&
    ((cr0 & CR0_PE) !== 0n || efer === 0n)
  );
}
