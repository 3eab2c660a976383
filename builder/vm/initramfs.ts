import { gzipSync } from 'node:zlib';
import { cpio, type CpioMember } from './cpio.js';
import type { KernelModule } from './modules.js';

/**
 * The initramfs that brings a microVM to its root disk: the init, which loads /debloat/NAME.ko in the
 * order of /debloat/order (native/guest/init/root.c), and the console that the kernel opens for it.
 */
export function initramfs(init: Buffer, modules: readonly KernelModule[]): Buffer {
  const order = modules.map(({ name }) => `${name}\n`).join('');
  const members: CpioMember[] = [
    { name: 'dev', mode: 0o40755 },
    { name: 'dev/console', mode: 0o20600, major: 5, minor: 1 },
    { name: 'debloat', mode: 0o40755 },
    { name: 'debloat/order', mode: 0o100644, content: Buffer.from(order) },
    ...modules.map(({ name, content }) => ({
      name: `debloat/${name}.ko`,
      mode: 0o100644,
      content,
    })),
    { name: 'init', mode: 0o100755, content: init },
  ];
  return gzipSync(cpio(members), { level: 9 });
}
