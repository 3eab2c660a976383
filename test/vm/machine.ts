/** The virtual hardware that both QEMUs of a migration must agree on. */
export interface Machine {
  /** QEMU's machine type and its options. */
  type: string;
  /** MiB. */
  memory: number;
  cpus: number;
  /** QEMU's CPU model and flags. */
  cpu: string;
  kernel: string;
  initramfs: string;
  /** Kernel parameters. */
  append: string;
}

/** How the guest's memory is kept; may differ between the QEMUs of a migration. */
export interface Backend {
  /** In a memfd, shared, else anonymous and private. */
  sharedMemory: boolean;
  /** In pages of 2 MiB, of which the host must have enough. */
  hugePages?: boolean;
}

/** QEMU's arguments for a machine; `more` is appended to the value of -machine. */
export function machineArguments(machine: Machine, backend: Backend, more = ''): string[] {
  const kind = backend.hugePages
    ? `memfd,hugetlb=on,hugetlbsize=2M,share=${backend.sharedMemory ? 'on' : 'off'}`
    : backend.sharedMemory
      ? 'memfd,share=on'
      : 'ram';
  const [model, ...rest] = kind.split(',');
  const object = [`memory-backend-${model ?? ''},id=ram,size=${machine.memory}M`, ...rest].join(
    ',',
  );
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-object', object],
    ...['-machine', `${machine.type},memory-backend=ram${more}`],
    ...['-m', `${machine.memory}`, '-smp', `${machine.cpus}`, '-cpu', machine.cpu],
    ...['-kernel', machine.kernel, '-initrd', machine.initramfs, '-append', machine.append],
  ];
}
