import type { GuestKernel } from '../guest/index.js';
import type { InterruptController, Registers } from '../hypervisor/index.js';
import type { RefusalReason } from '../refusal.js';

/** Something that an attach would fail at. */
export interface Obstacle {
  reason: RefusalReason;
  message: string;
  hint: string | undefined;
}

export interface InspectedVcpu {
  index: number;
  fd: number;
  /** 0 while no thread runs it. */
  tid: number;
  registers: Registers | undefined;
}

export interface InspectedRegion {
  guestAddress: number;
  size: number;
  /** Where the hypervisor has it. */
  userAddress: number;
  /** How its bytes are reached from outside: mapped here too, copied by a system call, or by /proc/PID/mem. */
  access: 'mapped' | 'copied' | 'file';
}

/** All that can be said of a virtual machine without changing it. */
export interface Inspection {
  pid: number;
  hypervisor: { name: string; version: string | undefined };
  vmFd: number;
  vcpus: InspectedVcpu[];
  interruptController: InterruptController;
  memory: { regions: InspectedRegion[]; verified: boolean } | undefined;
  kernel: GuestKernel | undefined;
  /** None: an attach can be tried. */
  obstacles: Obstacle[];
}
