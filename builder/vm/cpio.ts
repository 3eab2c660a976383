/** One member of a cpio archive. */
export interface CpioMember {
  /** Relative to the root, without a slash in front. */
  name: string;
  /** Type and permission bits, as in `stat`. */
  mode: number;
  content?: Buffer;
  /** Of a device. */
  major?: number;
  minor?: number;
}

/**
 * A cpio archive in the format "newc" (Linux, Documentation/driver-api/early-userspace/buffer-format.rst);
 * all of it belongs to root and is of 1970.
 */
export function cpio(members: readonly CpioMember[]): Buffer {
  const last: CpioMember = { name: 'TRAILER!!!', mode: 0 };
  return Buffer.concat([...members, last].flatMap((member, index) => encode(member, index + 1)));
}

function encode({ name, mode, content, major, minor }: CpioMember, inode: number): Buffer[] {
  const data = content ?? Buffer.alloc(0);
  const path = Buffer.from(`${name}\0`);
  const fields = [
    ...[inode, mode, 0, 0, 1, 0, data.length, 0, 0], // owner, links, time; devices that hold it
    ...[major ?? 0, minor ?? 0, path.length, 0],
  ];
  const numbers = fields.map((value) => value.toString(16).padStart(8, '0')).join('');
  return [padded(Buffer.concat([Buffer.from(`070701${numbers}`), path])), padded(data)];
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
