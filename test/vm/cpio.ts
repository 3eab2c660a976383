export interface CpioMember {
  /** Its path, without the first slash. */
  name: string;
  /** Its type and permissions, as st_mode. */
  mode: number;
  inode: number;
  content?: Uint8Array;
  /** Major and minor number of a device node. */
  device?: readonly [number, number];
}

/** A member of a cpio archive in "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst). */
export function member({ name, mode, inode, content, device }: CpioMember): Buffer {
  const bytes = content ?? new Uint8Array();
  const [major, minor] = device ?? [0, 0];
  const fields = [inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, major, minor, name.length + 1, 0];
  const numbers = fields.map((value) => value.toString(16).padStart(8, '0')).join('');
  return Buffer.concat([pad(Buffer.from(`070701${numbers}${name}\0`)), pad(bytes)]);
}

function pad(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
