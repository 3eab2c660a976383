import type { StoppedThread } from '../inject/stopped-thread.js';

/** Requests of a vCPU descriptor (<linux/kvm.h>). */
const KVM_GET_REGS = 0x8090ae81;
const KVM_SET_REGS = 0x4090ae82;
const KVM_GET_SREGS = 0x8138ae83;
const KVM_GET_MP_STATE = 0x8004ae98;
const KVM_SET_MP_STATE = 0x4004ae99;
const KVM_GET_VCPU_EVENTS = 0x8040ae9f;

const KVM_MP_STATE_RUNNABLE = 0;
const KVM_MP_STATE_HALTED = 3;

const NR_ioctl = 16;

/** Offsets in struct kvm_regs, kvm_sregs and kvm_vcpu_events (arch/x86/include/uapi/asm/kvm.h). */
const Regs = { size: 144, rip: 128, rflags: 136 };
const Sregs = { size: 312, codeSelector: 12, cr0: 224, cr3: 240, cr4: 248, efer: 264 };
const Events = {
  size: 64,
  exceptionInjected: 0,
  exceptionPending: 3,
  interruptInjected: 8,
  shadow: 11,
  nmiInjected: 12,
};

/** Where a vCPU is. */
export interface VcpuPosition {
  /** All general registers: struct kvm_regs. */
  registers: Uint8Array;
  rip: bigint;
  rflags: bigint;
}

/** What a vCPU is doing, as far as an attach cares. */
export interface VcpuState extends VcpuPosition {
  /** Privilege level: 0 for the kernel. */
  level: number;
  cr0: bigint;
  cr3: bigint;
  cr4: bigint;
  efer: bigint;
  /** Waiting for an interrupt in HLT. */
  halted: boolean;
  /** Running at all: neither halted nor waiting to be started. */
  runnable: boolean;
  /** An exception, interrupt or NMI is half-way in, or interrupts are held back for one instruction. */
  eventUnderWay: boolean;
}

/** The calls on a vCPU that an attach makes, by the vCPU's own stopped thread. Each throws SystemError. */
export class VcpuCalls {
  constructor(
    readonly thread: StoppedThread,
    readonly vcpuFd: number,
  ) {}

  position(): VcpuPosition {
    const registers = this.#get('KVM_GET_REGS', KVM_GET_REGS, Regs.size);
    return {
      registers: new Uint8Array(registers.buffer, registers.byteOffset, Regs.size),
      rip: registers.getBigUint64(Regs.rip, true),
      rflags: registers.getBigUint64(Regs.rflags, true),
    };
  }

  /** All the rest, of a vCPU that is at `position`. */
  state(position: VcpuPosition): VcpuState {
    const mp = this.#get('KVM_GET_MP_STATE', KVM_GET_MP_STATE, 4).getUint32(0, true);
    const special = this.#get('KVM_GET_SREGS', KVM_GET_SREGS, Sregs.size);
    const events = this.#get('KVM_GET_VCPU_EVENTS', KVM_GET_VCPU_EVENTS, Events.size);
    const { exceptionInjected, exceptionPending, interruptInjected, shadow, nmiInjected } = Events;
    return {
      ...position,
      level: special.getUint16(Sregs.codeSelector, true) & 3,
      cr0: special.getBigUint64(Sregs.cr0, true),
      cr3: special.getBigUint64(Sregs.cr3, true),
      cr4: special.getBigUint64(Sregs.cr4, true),
      efer: special.getBigUint64(Sregs.efer, true),
      halted: mp === KVM_MP_STATE_HALTED,
      runnable: mp === KVM_MP_STATE_RUNNABLE,
      eventUnderWay: [
        exceptionInjected,
        exceptionPending,
        interruptInjected,
        shadow,
        nmiInjected,
      ].some((offset) => events.getUint8(offset) !== 0),
    };
  }

  /** Send the vCPU to `rip` with `rflags`, all other registers as in `state`; out of HLT if need be. */
  sendTo(state: VcpuState, rip: bigint, rflags: bigint): void {
    const registers = new DataView(state.registers.slice().buffer);
    registers.setBigUint64(Regs.rip, rip, true);
    registers.setBigUint64(Regs.rflags, rflags, true);
    this.#set('KVM_SET_REGS', KVM_SET_REGS, registers);
    // Between the two the vCPU still waits in HLT: an interrupt would return to `rip`, which is as good.
    if (state.halted) {
      const runnable = new DataView(new ArrayBuffer(4));
      runnable.setUint32(0, KVM_MP_STATE_RUNNABLE, true);
      this.#set('KVM_SET_MP_STATE', KVM_SET_MP_STATE, runnable);
    }
  }

  #get(name: string, request: number, size: number): DataView {
    const answer = this.thread.ask(
      name,
      NR_ioctl,
      [this.vcpuFd, request, 'pointer'],
      new Uint8Array(size),
    );
    return new DataView(answer.buffer, answer.byteOffset, answer.length);
  }

  #set(name: string, request: number, parameters: DataView): void {
    const bytes = new Uint8Array(parameters.buffer);
    this.thread.call(name, NR_ioctl, [this.vcpuFd, request, 'pointer'], bytes);
  }
}
