import type { GateCall } from '../inject/gate.js';
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

/** What a vCPU is doing, as far as an attach cares. */
export interface VcpuState {
  /** All general registers: struct kvm_regs. */
  registers: Uint8Array;
  rip: bigint;
  rflags: bigint;
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
    readonly thread: Pick<StoppedThread, 'ask'>,
    readonly vcpuFd: number,
  ) {}

  /** Where the vCPU is. */
  rip(): bigint {
    const [registers] = this.thread.ask([this.#call('KVM_GET_REGS', KVM_GET_REGS, Regs.size)]);
    return viewOf(registers).getBigUint64(Regs.rip, true);
  }

  state(): VcpuState {
    const answers = this.thread.ask([
      this.#call('KVM_GET_MP_STATE', KVM_GET_MP_STATE, 4),
      this.#call('KVM_GET_REGS', KVM_GET_REGS, Regs.size),
      this.#call('KVM_GET_SREGS', KVM_GET_SREGS, Sregs.size),
      this.#call('KVM_GET_VCPU_EVENTS', KVM_GET_VCPU_EVENTS, Events.size),
    ]);
    const mp = viewOf(answers[0]).getUint32(0, true);
    const registers = viewOf(answers[1]);
    const special = viewOf(answers[2]);
    const events = viewOf(answers[3]);
    const { exceptionInjected, exceptionPending, interruptInjected, shadow, nmiInjected } = Events;
    return {
      registers: new Uint8Array(registers.buffer, registers.byteOffset, Regs.size),
      rip: registers.getBigUint64(Regs.rip, true),
      rflags: registers.getBigUint64(Regs.rflags, true),
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

  /**
   * Send the vCPU to `rip` with `rflags`, all other registers as in `state`; out of HLT if need be, and
   * that first: there with its interrupts off it would wait for ever if we died in between.
   */
  sendTo(state: VcpuState, rip: bigint, rflags: bigint): void {
    const registers = new DataView(state.registers.slice().buffer);
    registers.setBigUint64(Regs.rip, rip, true);
    registers.setBigUint64(Regs.rflags, rflags, true);
    const runnable = new DataView(new ArrayBuffer(4));
    runnable.setUint32(0, KVM_MP_STATE_RUNNABLE, true);
    this.thread.ask([
      ...(state.halted ? [this.#call('KVM_SET_MP_STATE', KVM_SET_MP_STATE, runnable)] : []),
      this.#call('KVM_SET_REGS', KVM_SET_REGS, registers),
    ]);
  }

  /** `parameters`: what is set, or how many bytes are to be had. */
  #call(name: string, request: number, parameters: DataView | number): GateCall {
    return {
      ...{ name, number: NR_ioctl, args: [this.vcpuFd, request, 'pointer'] },
      parameters: new Uint8Array(
        typeof parameters === 'number' ? new ArrayBuffer(parameters) : parameters.buffer,
      ),
    };
  }
}

function viewOf(bytes: Uint8Array = new Uint8Array()): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
