import { expect, test } from 'vitest';
import {
  cloudHypervisorCommand,
  firecrackerConfig,
  kernelCommandLine,
  qemuCommand,
} from './command-lines.js';
import type { VmDescription } from './description.js';

const digest = `sha256:${'a'.repeat(64)}` as const;

function machine(format: 'ext4' | 'squashfs', bare = false, platform = 'linux/amd64') {
  const root = { file: `root.${format}`, digest, size: 1, format, readOnly: format !== 'ext4' };
  const file = { digest, size: 1 };
  const initramfs = bare ? null : { file: 'initramfs', ...file, modules: [] };
  const kernel: VmDescription['kernel'] = bare
    ? null
    : { file: 'kernel', ...file, kind: 'vmlinux', release: null };
  const commandLine = kernelCommandLine({ platform, root, initramfs, sourceDigest: digest });
  return {
    platform,
    root,
    kernel,
    initramfs,
    commandLine,
    memoryMebibytes: 192,
    ports: [80, 8443],
  };
}

test('the kernel is told of the root, the network and the image', () => {
  expect(machine('squashfs').commandLine).toBe(
    `console=ttyS0 quiet panic=-1 root=/dev/vda rootfstype=squashfs ro ip=10.0.2.15::10.0.2.2:255.255.255.0:::off:10.0.2.3 debloat.image=${digest}`,
  );
  expect(machine('ext4', true).commandLine).toContain('rootfstype=ext4 rw init=/.debloat/init ');
});

test('QEMU gets the files and forwards the ports', () => {
  const command = qemuCommand(machine('squashfs'));
  expect(command).toContain("-append 'console=ttyS0 ");
  expect(command).toContain('file=root.squashfs,read-only=on');
  expect(command).toContain(
    'user,id=net,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=tcp:127.0.0.1:8443-:8443',
  );
  const bare = qemuCommand(machine('ext4', true));
  expect(bare).toContain('-kernel KERNEL');
  expect(bare).not.toMatch(/read-only|-initrd/);
  expect(qemuCommand(machine('ext4', true, 'linux/arm64'))).toMatch(
    /^qemu-system-aarch64 .*-machine virt.*console=ttyAMA0/s,
  );
});

test('Cloud Hypervisor and Firecracker get another network', () => {
  expect(cloudHypervisorCommand(machine('squashfs'))).toMatch(
    /ip=192\.168\.249\.2::192\.168\.249\.1:.*path=root\.squashfs,readonly=on/s,
  );
  const config = JSON.parse(firecrackerConfig(machine('ext4'))) as Record<string, object>;
  const boot = config['boot-source'] as { boot_args: string; initrd_path: string };
  expect(boot.initrd_path).toBe('initramfs');
  expect(boot.boot_args).toContain('debloat.off=reboot');
  expect(boot.boot_args).not.toContain('root=/dev');
  expect(config['drives']).toMatchObject([{ path_on_host: 'root.ext4', is_read_only: false }]);
});
