import type { ProcessMemory, ProcessRegion } from '../guest/memory/process-memory.js';
import { Refusal } from '../refusal.js';
import { readMemoryMap } from '../../native/linux/memory-map.js';
import { assignThreads } from './assign-threads.js';
import { findMemory, type MemoryOwner } from './guest-memory.js';
import { kindOf, type HypervisorKind, type InterruptController } from './kinds.js';
import { possibleLayouts } from './layout.js';
import { withPrivilege } from './privilege.js';
import { commandLine, openFiles, programName, type OpenFile } from './procfs.js';
import { VcpuPage, type Kick } from './read-registers.js';
import type { Registers } from './registers.js';
import { isRunning, isStopped, kickSignal, whyPaused } from './thread-state.js';
import { vcpuFiles, type Vcpu } from './vcpu-threads.js';

/** A virtual machine that runs by KVM, seen from outside. Nothing in it or in its hypervisor is changed. */
export class VirtualMachine {
  /** Of its hypervisor: "QEMU". */
  readonly name: string;
  readonly kind: HypervisorKind;
  /** The descriptor in the hypervisor that stands for the machine. */
  readonly vmFd: number;
  readonly vcpus: readonly Vcpu[];
  /** How the last register read brought its vCPU out of the guest. */
  lastKick: Kick | undefined;
  /** Whether the guest's page tables bear out the memory map; else it is a guess. */
  memoryVerified = false;
  readonly #pages = new Map<number, VcpuPage>();
  readonly #owner: MemoryOwner;
  #memory: ProcessMemory | undefined;

  /** Use {@link openVirtualMachine}. */
  constructor(
    readonly pid: number,
    files: readonly OpenFile[],
    vmFd: number,
    vcpus: readonly Vcpu[],
  ) {
    this.kind = kindOf(programName(pid));
    this.name = this.kind.name;
    this.vmFd = vmFd;
    this.vcpus = vcpus;
    this.#owner = { pid, files, areas: readMemoryMap(pid) };
  }

  /**
   * Refused where the hypervisor emulates the interrupt controllers itself: it takes its processors out
   * of KVM whenever they wait, and an interrupt of ours could not be delivered.
   */
  checkInterrupts(): void {
    if (this.interruptController === 'hypervisor') throw noIrqchip();
  }

  get interruptController(): InterruptController {
    return this.kind.interruptController(commandLine(this.pid));
  }

  /** The guest's memory. Found at the first use, for which the registers of a vCPU are read. */
  get memory(): ProcessMemory {
    return (this.#memory ??= this.#findMemory());
  }

  get regions(): readonly ProcessRegion[] {
    return this.memory.regions;
  }

  /**
   * The registers of a vCPU, which leaves the guest for some microseconds. Refused where it does not:
   * "paused", "registers".
   */
  registers(vcpu: Vcpu): Registers {
    const page = this.page(vcpu);
    return withPrivilege(this.pid, () => {
      if (vcpu.tid === 0 || isStopped(this.pid, vcpu.tid)) throw this.#whyNotRunning();
      try {
        const read = page.registers(vcpu.tid, kickSignal(this.kind, this.pid, vcpu.tid));
        this.lastKick = read.kick;
        return read.registers;
      } catch (error) {
        if (!(error instanceof Refusal) || isRunning(this.pid, vcpu)) throw error;
        throw this.#whyNotRunning();
      }
    });
  }

  /** Registers of the first vCPU that is in 64-bit mode, else of the first that can be read; throws the first refusal. */
  anyRegisters(): Registers {
    let first: Registers | undefined;
    let refusal: Refusal | undefined;
    for (const vcpu of this.vcpus) {
      try {
        const registers = this.registers(vcpu);
        if ((registers.efer & EFER_LMA) !== 0n) return registers;
        first ??= registers;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refusal ??= error;
      }
    }
    if (first) return first;
    throw refusal ?? this.#whyNotRunning();
  }

  /** The page that KVM and the hypervisor share about a vCPU. */
  page(vcpu: Vcpu): VcpuPage {
    const known = this.#pages.get(vcpu.index);
    if (known) return known;
    const page = withPrivilege(this.pid, () => new VcpuPage(this.pid, vcpu.fd));
    this.#pages.set(vcpu.index, page);
    return page;
  }

  /** Let go of all that is mapped here. */
  close(): void {
    for (const page of this.#pages.values()) page.close();
    this.#pages.clear();
    this.#memory?.close();
    this.#memory = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #whyNotRunning(): Refusal {
    return this.interruptController === 'hypervisor' ? noIrqchip() : whyPaused(this.pid);
  }

  #findMemory(): ProcessMemory {
    const layouts = possibleLayouts(this.#owner.areas, this.kind.lowMemoryEnds);
    for (let n = 1; ; n++) {
      const registers = this.#registersIfAny();
      const found = withPrivilege(this.pid, () => findMemory(this.#owner, layouts, registers));
      if (found === undefined) {
        throw new Refusal('not-a-vm', `process ${this.pid} has no memory that could be a guest’s`);
      }
      this.memoryVerified = found.verified;
      // Else the process whose page tables the vCPU used may have ended before they were read.
      if (found.verified || registers === undefined || n === looks) return found.memory;
      found.memory.close();
    }
  }

  #registersIfAny(): Registers | undefined {
    try {
      return this.anyRegisters();
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }
}

const EFER_LMA = 1n << 10n;

/** How often registers are read for what must agree with the guest's page tables. */
const looks = 3;

/** A thread in which an attach made calls until it was killed is back in its vCPU after this time, in milliseconds. */
const returnPatience = 400;

/** The virtual machine that process `pid` runs. Refused, and nothing touched, where there is none or it may not be looked into. */
export function openVirtualMachine(pid: number): VirtualMachine {
  const files = withPrivilege(pid, () => openFiles(pid));
  const vmFd = files.find(({ target }) => isVirtualMachine(target))?.fd;
  const vcpus = vcpuFiles(files);
  if (vmFd === undefined || vcpus.length === 0) throw notOne(pid, files);
  const secret = files.find(({ target }) => /^\/dev\/(sev|tdx)|kvm-gmem/.test(target));
  if (secret !== undefined || /confidential-guest-support=/.test(commandLine(pid).join(' '))) {
    throw new Refusal('confidential', 'the guest’s memory is protected from its host (SEV or TDX)');
  }
  return withPrivilege(pid, () => {
    const end = performance.now() + returnPatience;
    do {
      assignThreads(pid, vcpus);
    } while (vcpus.some(({ tid }) => tid === 0) && performance.now() < end);
    return new VirtualMachine(pid, files, vmFd, vcpus);
  });
}

function noIrqchip(): Refusal {
  return new Refusal(
    'interrupts',
    'the virtual machine has no interrupt controller in the host’s kernel (kernel-irqchip=off)',
    { hint: 'start it with kernel-irqchip=on or split, or give a gdb stub: --gdb' },
  );
}

export function isVirtualMachine(target: string): boolean {
  return /^anon_inode:\[?kvm-vm\]?$/.test(target);
}

function notOne(pid: number, files: readonly OpenFile[]): Refusal {
  const { name } = kindOf(programName(pid));
  const hasKvm = files.some(({ target }) => target === '/dev/kvm');
  return new Refusal(
    'not-a-vm',
    name === 'unknown hypervisor' || hasKvm
      ? `process ${pid} (${programName(pid)}) runs no virtual machine`
      : `process ${pid} is ${name} without KVM`,
    name === 'QEMU' ? { hint: 'a machine under TCG can be reached by its gdb stub only' } : {},
  );
}
