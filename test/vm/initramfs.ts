import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** Modules that a guest needs for a virtio disk with squashfs or ext4; built in where they are not files. */
const wanted = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'squashfs', 'ext4'];

const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
. /test.sh
echo guest-test-ended
poweroff -f
`;

/** An initramfs with busybox and the modules of the kernel in `kernel`, which runs `script` and powers off. */
export function makeInitramfs(kernel: string, script: string): Buffer {
  const modules = modulesInOrder(join(kernel, 'modules'));
  const directories = ['bin', 'dev', 'proc', 'sys', 'mnt', 'modules', 'tmp'];
  return gzipSync(
    Buffer.concat([
      ...directories.map((name) => member(name, 0o40755)),
      member('dev/console', 0o20600, Buffer.alloc(0), [5, 1]),
      member('bin/busybox', 0o100755, readFileSync('/bin/busybox')),
      member('init', 0o100755, Buffer.from(init)),
      member('test.sh', 0o100755, Buffer.from(script)),
      ...modules.map(({ name, content }) => member(`modules/${name}.ko`, 0o100644, content)),
      member(
        'modules/order',
        0o100644,
        Buffer.from(modules.map(({ name }) => `${name}.ko\n`).join('')),
      ),
      member('TRAILER!!!', 0),
    ]),
    { level: 1 },
  );
}

/** The modules wanted and those that they depend on, which come first. */
function modulesInOrder(directory: string): { name: string; content: Buffer }[] {
  const files = new Map(
    readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ko'))
      .map((path) => [basename(path, '.ko').replaceAll('-', '_'), join(directory, path)]),
  );
  const order = new Map<string, Buffer>();
  const add = (name: string): void => {
    const path = files.get(name);
    if (path === undefined || order.has(name)) return;
    const content = readFileSync(path);
    // The section .modinfo has "depends=a,b" between zero bytes.
    const start = content.indexOf('\0depends=') + '\0depends='.length;
    const depends = content.subarray(start, content.indexOf(0, start)).toString();
    depends
      .split(',')
      .filter(Boolean)
      .forEach((each) => add(each.replaceAll('-', '_')));
    order.set(name, content);
  };
  wanted.forEach(add);
  return [...order].map(([name, content]) => ({ name, content }));
}

let inode = 1;

/** A member of a cpio archive in "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst). */
function member(
  name: string,
  mode: number,
  content: Uint8Array = Buffer.alloc(0),
  device = [0, 0],
): Buffer {
  const [major = 0, minor = 0] = device;
  const fields = [
    inode++,
    mode,
    0,
    0,
    1,
    0,
    content.length,
    0,
    0,
    major,
    minor,
    name.length + 1,
    0,
  ];
  const numbers = fields.map((value) => value.toString(16).padStart(8, '0')).join('');
  return Buffer.concat([pad(Buffer.from(`070701${numbers}${name}\0`)), pad(content)]);
}

function pad(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
