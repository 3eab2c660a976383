import { shellWord } from '../../analyzer/report/format.js';
import type { VmDescription } from './description.js';

type Bootable = Pick<
  VmDescription,
  'platform' | 'root' | 'kernel' | 'initramfs' | 'commandLine' | 'memoryMebibytes' | 'ports'
>;

/** How a machine reaches the world: ip= of the kernel's command line. */
const networks = {
  // QEMU's user network has these addresses in every machine (qemu(1), -netdev user)
  qemu: 'ip=10.0.2.15::10.0.2.2:255.255.255.0:::off:10.0.2.3',
  // a point-to-point network with the host on a tap device
  tap: 'ip=192.168.249.2::192.168.249.1:255.255.255.252:::off',
};

/**
 * The kernel's command line for QEMU with its user network. `debloat.image` is the digest by which
 * `debloat attach` finds the overlay.
 */
export function kernelCommandLine(
  vm: Pick<Bootable, 'platform' | 'root' | 'initramfs'> & { sourceDigest: string },
): string {
  return [
    `console=${isArm(vm) ? 'ttyAMA0' : 'ttyS0'}`,
    'quiet',
    'panic=-1',
    `root=/dev/vda rootfstype=${vm.root.format} ${vm.root.readOnly ? 'ro' : 'rw'}`,
    ...(vm.initramfs ? [] : ['init=/.debloat/init']),
    networks.qemu,
    `debloat.image=${vm.sourceDigest}`,
  ].join(' ');
}

/** A shell command that boots the machine under QEMU, from its directory; ports above 1023 stay, 80 becomes 8080. */
export function qemuCommand(vm: Bootable): string {
  const arm = isArm(vm);
  const forwards = vm.ports.map((port) => `,hostfwd=tcp:127.0.0.1:${hostPort(port)}-:${port}`);
  return shell([
    [`qemu-system-${arm ? 'aarch64' : 'x86_64'}`],
    ...(arm ? [['-machine', 'virt']] : []),
    ['-accel', 'kvm', '-accel', 'tcg', '-cpu', 'max', '-m', `${vm.memoryMebibytes}`],
    ['-nodefaults', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
    ['-kernel', vm.kernel?.file ?? 'KERNEL'],
    ...(vm.initramfs ? [['-initrd', vm.initramfs.file]] : []),
    ['-append', vm.commandLine],
    [
      '-drive',
      `if=none,id=root,format=raw,file=${vm.root.file}${vm.root.readOnly ? ',read-only=on' : ''}`,
    ],
    ['-device', 'virtio-blk-pci,drive=root'],
    ['-netdev', `user,id=net${forwards.join('')}`, '-device', 'virtio-net-pci,netdev=net'],
  ]);
}

/** The same for Cloud Hypervisor, which makes the host's side of the network itself. */
export function cloudHypervisorCommand(vm: Bootable): string {
  return shell([
    ['cloud-hypervisor', '--kernel', vm.kernel?.file ?? 'KERNEL'],
    ...(vm.initramfs ? [['--initramfs', vm.initramfs.file]] : []),
    ['--cmdline', vm.commandLine.replace(networks.qemu, networks.tap)],
    ['--disk', `path=${vm.root.file}${vm.root.readOnly ? ',readonly=on' : ''}`],
    ['--memory', `size=${vm.memoryMebibytes}M`, '--cpus', 'boot=1'],
    ['--net', 'tap=,ip=192.168.249.1,mask=255.255.255.252'],
    ['--serial', 'tty', '--console', 'off'],
  ]);
}

/** The same for Firecracker, of which {@link firecrackerConfig} is the configuration. */
export const firecrackerCommand = 'firecracker --no-api --config-file firecracker.json';

/**
 * Firecracker's configuration (its docs/getting-started.md); it adds root= and the disk's mode to the
 * command line itself. A machine ends by a restart there. Its host needs a tap device named tap0.
 */
export function firecrackerConfig(vm: Bootable): string {
  const bootArgs = vm.commandLine
    .replace(networks.qemu, networks.tap)
    .replace(/ root=\S+/, '')
    .concat(' reboot=k debloat.off=reboot');
  const config = {
    'boot-source': {
      kernel_image_path: vm.kernel?.file ?? 'KERNEL',
      ...(vm.initramfs && { initrd_path: vm.initramfs.file }),
      boot_args: bootArgs,
    },
    drives: [
      {
        drive_id: 'root',
        path_on_host: vm.root.file,
        is_root_device: true,
        is_read_only: vm.root.readOnly,
      },
    ],
    'machine-config': { vcpu_count: 1, mem_size_mib: vm.memoryMebibytes },
    'network-interfaces': [{ iface_id: 'eth0', host_dev_name: 'tap0' }],
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** The port of this machine at which a port of the guest is reached under QEMU. */
export function hostPort(port: number): number {
  return port < 1024 ? port + 8000 : port;
}

function isArm({ platform }: Pick<Bootable, 'platform'>): boolean {
  return platform.startsWith('linux/arm64');
}

/** Groups of words as one command, a group on each line. */
function shell(groups: string[][]): string {
  return groups.map((words) => words.map(shellWord).join(' ')).join(' \\\n  ');
}
