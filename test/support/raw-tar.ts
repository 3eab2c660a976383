/** Tars written byte by byte, for tests: unlike real tools they write whatever they are told to. */

export interface RawHeader {
  name?: string | Buffer;
  /** One character. */
  type?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  /** What the header claims; default: the length of `data`. */
  size?: number;
  mtime?: number;
  link?: string | Buffer;
  major?: number;
  minor?: number;
  data?: Buffer | string;
  /** "ustar\000", "ustar  \0" or anything else. */
  magic?: string;
  prefix?: string;
  /** Changes the block before the checksum is made. */
  patch?: (block: Buffer) => void;
  /** Replaces the right checksum. */
  checksum?: number;
}

/** One member: header block and padded data. */
export function member(header: RawHeader): Buffer {
  const data = Buffer.from(header.data ?? '');
  const block = Buffer.alloc(512);
  Buffer.from(header.name ?? '').copy(block, 0, 0, 100);
  octal(block, 100, 8, header.mode ?? 0o644);
  octal(block, 108, 8, header.uid ?? 0);
  octal(block, 116, 8, header.gid ?? 0);
  octal(block, 124, 12, header.size ?? data.length);
  octal(block, 136, 12, header.mtime ?? 0);
  block.write(header.type ?? '0', 156, 'latin1');
  Buffer.from(header.link ?? '').copy(block, 157, 0, 100);
  block.write(header.magic ?? 'ustar\x0000', 257, 'latin1');
  octal(block, 329, 8, header.major ?? 0);
  octal(block, 337, 8, header.minor ?? 0);
  if (header.prefix !== undefined) block.write(header.prefix, 345, 'latin1');
  header.patch?.(block);
  block.fill(0x20, 148, 156);
  octal(block, 148, 7, header.checksum ?? block.reduce((sum, byte) => sum + byte, 0));
  return Buffer.concat([block, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

/** A pax header ('x', or 'g' for a global one) with these records. */
export function pax(
  records: readonly (readonly [key: string, value: string | Buffer])[],
  type = 'x',
): Buffer {
  const lines = records.map(([key, value]) => {
    const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
    let length = body.length;
    while (length !== body.length + String(length).length) {
      length = body.length + String(length).length;
    }
    return Buffer.concat([Buffer.from(String(length)), body]);
  });
  return member({ name: 'PaxHeaders/x', type, data: Buffer.concat(lines) });
}

/** A GNU long name ('L') or long link ('K'). */
export function gnuLong(type: 'L' | 'K', name: string | Buffer): Buffer {
  const data = Buffer.concat([Buffer.from(name), Buffer.alloc(1)]);
  return member({ name: '././@LongLink', type, data, magic: 'ustar  \0' });
}

/** Members with the two zero blocks at the end. */
export function archive(...members: Buffer[]): Buffer {
  return Buffer.concat([...members, Buffer.alloc(1024)]);
}

function octal(block: Buffer, at: number, length: number, value: number): void {
  block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
  block[at + length - 1] = 0;
}
