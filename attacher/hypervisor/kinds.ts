/** Where a guest's interrupts are routed: by KVM as a whole, local APICs by KVM and the rest by the hypervisor, all by it. */
export type InterruptController = 'kernel' | 'split' | 'hypervisor' | 'unknown';

/** What tells one hypervisor from another, and what must be known of it. */
export interface HypervisorKind {
  name: string;
  /** Whether a process started from a program of this name, with these arguments, is one. */
  recognises(program: string): boolean;
  /**
   * Signals by which it brings its own vCPU threads out of KVM_RUN and that do nothing else: the first
   * with a handler installed is used. Where a thread must be stopped instead, none.
   */
  kickSignals: readonly number[];
  /** Where memory below 4 GiB may end when there is more than fits, the likeliest first. */
  lowMemoryEnds: readonly number[];
  interruptController(commandLine: readonly string[]): InterruptController;
  /** Its version, in the bytes of its program file. */
  version?: RegExp;
}

const MiB = 2 ** 20;
const fourGiB = 2 ** 32;

/** SIGUSR1, and SIGRTMIN as glibc and musl count it (both keep some for themselves). */
const SIGUSR1 = 10;
const SIGRTMIN = [34, 35] as const;

const qemu: HypervisorKind = {
  name: 'QEMU',
  recognises: (program) => /^(qemu-system-(x86_64|i386)|qemu-kvm|kvm)/.test(program),
  // SIG_IPI (include/sysemu/cpus.h, accel/kvm/kvm-accel-ops.c).
  kickSignals: [SIGUSR1],
  // pc and microvm: 3 or 3.5 GiB; q35: 2 or 2.75 GiB (hw/i386/pc_piix.c, pc_q35.c, microvm.c).
  lowMemoryEnds: [3072 * MiB, 2048 * MiB, 3584 * MiB, 2816 * MiB],
  interruptController: (commandLine) => {
    const set = /\bkernel[-_]irqchip=(on|off|split)\b/.exec(commandLine.join(' '))?.[1];
    return set === 'split' ? 'split' : set === 'off' ? 'hypervisor' : 'kernel';
  },
  version: /(?<=QEMU emulator version )\d[ -~]{0,100}/,
};

const firecracker: HypervisorKind = {
  name: 'Firecracker',
  recognises: (program) => program.startsWith('firecracker'),
  // src/vmm/src/vstate/vcpu.rs: VCPU_RTSIG_OFFSET 0.
  kickSignals: SIGRTMIN,
  lowMemoryEnds: [fourGiB - 768 * MiB, fourGiB - 1024 * MiB],
  interruptController: () => 'kernel',
  version: /(?<=Firecracker v)\d+\.\d+\.\d+[-\w.]*/,
};

const cloudHypervisor: HypervisorKind = {
  name: 'Cloud Hypervisor',
  recognises: (program) => program.startsWith('cloud-hyperviso'),
  kickSignals: SIGRTMIN,
  // arch/src/x86_64/layout.rs: MEM_32BIT_RESERVED_START.
  lowMemoryEnds: [3072 * MiB],
  interruptController: () => 'split',
};

const crosvm: HypervisorKind = {
  name: 'crosvm',
  recognises: (program) => program.startsWith('crosvm'),
  kickSignals: SIGRTMIN,
  // x86_64/src/lib.rs: END_ADDR_BEFORE_32BITS.
  lowMemoryEnds: [fourGiB - 768 * MiB, fourGiB - 1024 * MiB, 2048 * MiB],
  interruptController: (commandLine) =>
    commandLine.some((word) => /split-irqchip|irqchip=split/.test(word)) ? 'split' : 'unknown',
};

const kvmtool: HypervisorKind = {
  name: 'kvmtool',
  recognises: (program) => /^(lkvm|kvmtool|vm)$/.test(program),
  // SIGRTMIN ends the vCPU and SIGRTMIN+1 pauses it; SIGKVMTASK looks for work (include/kvm/kvm.h).
  kickSignals: [SIGRTMIN[0] + 2],
  lowMemoryEnds: [fourGiB - 768 * MiB],
  interruptController: () => 'kernel',
};

/** Any other program that runs a virtual machine by KVM. */
const unknown: HypervisorKind = {
  name: 'unknown hypervisor',
  recognises: () => true,
  kickSignals: [],
  lowMemoryEnds: [3072 * MiB, fourGiB - 768 * MiB, 3584 * MiB, 2048 * MiB, 2816 * MiB],
  interruptController: () => 'unknown',
};

/** In this order; the last takes whatever is left. */
export const hypervisorKinds = [qemu, firecracker, cloudHypervisor, crosvm, kvmtool] as const;

/** The kind that a process is by its program's name; one that is none of those known is "unknown". */
export function kindOf(program: string): HypervisorKind {
  return hypervisorKinds.find((kind) => kind.recognises(program)) ?? unknown;
}
