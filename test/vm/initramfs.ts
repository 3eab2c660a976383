import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { member } from './cpio.js';
import { modulesInOrder } from './modules.js';

export interface InitramfsContent {
  /** The directory of the kernel that will run. */
  kernel: string;
  /** Modules that init loads, with what they depend on. */
  modules: string[];
  /** What init does then, in busybox's shell. */
  script: string;
  /** More files: their paths, without the first slash, and their content; all can be executed. */
  files?: Map<string, Buffer>;
}

const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
. /test.sh
`;

/** An initramfs with busybox whose init loads modules and runs a script; the same input gives the same bytes. */
export function makeInitramfs(content: InitramfsContent): Buffer {
  const modules = modulesInOrder(join(content.kernel, 'modules'), content.modules);
  const order = modules.map(({ name }) => `${name}.ko\n`).join('');
  const directories = ['bin', 'dev', 'proc', 'sys', 'mnt', 'modules', 'tmp'];
  const files = new Map([
    ['bin/busybox', readFileSync('/bin/busybox')],
    ['init', Buffer.from(init)],
    ['test.sh', Buffer.from(content.script)],
    ...modules.map(({ name, content }) => [`modules/${name}.ko`, content] as const),
    ['modules/order', Buffer.from(order)],
    ...(content.files ?? []),
  ]);
  const members = [
    ...directories.map((name) => ({ name, mode: 0o40755 })),
    { name: 'dev/console', mode: 0o20600, device: [5, 1] as const },
    ...[...files].map(([name, content]) => ({ name, mode: 0o100755, content })),
    { name: 'TRAILER!!!', mode: 0 },
  ];
  return gzipSync(Buffer.concat(members.map((each, n) => member({ inode: n + 1, ...each }))), {
    level: 1,
  });
}
