import type { StoppedThread } from '../inject/stopped-thread.js';

/** Requests of the VM descriptor (<linux/kvm.h>). */
const KVM_CHECK_EXTENSION = 0xae03;
const KVM_SET_USER_MEMORY_REGION = 0x4020ae46;
const KVM_GET_IRQCHIP = 0xc208ae62;
const KVM_IRQFD = 0x4020ae76;
const KVM_IOEVENTFD = 0x4040ae79;

const KVM_CAP_NR_MEMSLOTS = 10;
const KVM_MEM_READONLY = 2;
const KVM_IOEVENTFD_FLAG_DEASSIGN = 4;
const KVM_IRQFD_FLAG_DEASSIGN = 1;
const KVM_IRQCHIP_IOAPIC = 2;

const NR_ioctl = 16;

/** A memory slot: `size` bytes of the hypervisor's at `userAddress` are the guest's at `guestAddress`. */
export interface MemorySlot {
  slot: number;
  guestAddress: number;
  /** Bytes; 0 takes the slot away. */
  size: number;
  userAddress: number;
  readOnly: boolean;
}

/** The calls on a VM that an attach makes, by a stopped thread of its hypervisor. Each throws SystemError. */
export class VmCalls {
  constructor(
    readonly thread: StoppedThread,
    readonly vmFd: number,
  ) {}

  /** How many memory slots the VM may have. */
  memorySlots(): number {
    return this.thread.call('KVM_CHECK_EXTENSION', NR_ioctl, [
      this.vmFd,
      KVM_CHECK_EXTENSION,
      KVM_CAP_NR_MEMSLOTS,
    ]);
  }

  /** Add a slot, or take it away. EEXIST where another one overlaps it. */
  setMemorySlot(region: MemorySlot): void {
    const parameters = new DataView(new ArrayBuffer(32));
    parameters.setUint32(0, region.slot, true);
    parameters.setUint32(4, region.readOnly ? KVM_MEM_READONLY : 0, true);
    parameters.setBigUint64(8, BigInt(region.guestAddress), true);
    parameters.setBigUint64(16, BigInt(region.size), true);
    parameters.setBigUint64(24, BigInt(region.userAddress), true);
    this.#ioctl('KVM_SET_USER_MEMORY_REGION', KVM_SET_USER_MEMORY_REGION, parameters);
  }

  /** Have 4-byte writes of the guest to `address` signal the eventfd `fd` of the hypervisor's, or no more. */
  setDoorbell(address: number, fd: number, how: 'assign' | 'deassign'): void {
    const parameters = new DataView(new ArrayBuffer(64));
    parameters.setBigUint64(8, BigInt(address), true);
    parameters.setUint32(16, 4, true);
    parameters.setInt32(20, fd, true);
    parameters.setUint32(24, how === 'deassign' ? KVM_IOEVENTFD_FLAG_DEASSIGN : 0, true);
    this.#ioctl('KVM_IOEVENTFD', KVM_IOEVENTFD, parameters);
  }

  /** Have the eventfd `fd` of the hypervisor's raise the interrupt line `gsi`, or no more. */
  setInterrupt(gsi: number, fd: number, how: 'assign' | 'deassign'): void {
    const parameters = new DataView(new ArrayBuffer(32));
    parameters.setUint32(0, fd, true);
    parameters.setUint32(4, gsi, true);
    parameters.setUint32(8, how === 'deassign' ? KVM_IRQFD_FLAG_DEASSIGN : 0, true);
    this.#ioctl('KVM_IRQFD', KVM_IRQFD, parameters);
  }

  /** The redirection table of the I/O APIC, 24 entries; ENXIO where it is not in the kernel. */
  redirections(): bigint[] {
    const parameters = new DataView(new ArrayBuffer(8 + 512));
    parameters.setUint32(0, KVM_IRQCHIP_IOAPIC, true);
    const [answer = new Uint8Array()] = this.thread.ask([
      {
        ...{ name: 'KVM_GET_IRQCHIP', number: NR_ioctl },
        args: [this.vmFd, KVM_GET_IRQCHIP, 'pointer'],
        parameters: new Uint8Array(parameters.buffer),
      },
    ]);
    // struct kvm_ioapic_state: base address, ioregsel, id, irr, pad; then the table
    const view = new DataView(answer.buffer, answer.byteOffset);
    return Array.from({ length: 24 }, (_, pin) => view.getBigUint64(8 + 24 + pin * 8, true));
  }

  #ioctl(name: string, request: number, parameters: DataView): void {
    const bytes = new Uint8Array(parameters.buffer);
    this.thread.call(name, NR_ioctl, [this.vmFd, request, 'pointer'], bytes);
  }
}
