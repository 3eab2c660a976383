/** A kernel module (.ko) that has no code: what it says of itself in .modinfo. */
export function fakeModule(fields: Record<string, string>): Buffer {
  const names = Buffer.from('\0.modinfo\0.shstrtab\0');
  const info = Buffer.from(
    Object.entries(fields)
      .map(([key, value]) => `${key}=${value}\0`)
      .join(''),
  );
  const headers = 64 + names.length + info.length;
  const file = Buffer.alloc(headers + 3 * 64);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(1, 16); // ET_REL
  file.writeUInt16LE(62, 18); // EM_X86_64
  file.writeBigUInt64LE(BigInt(headers), 40);
  file.writeUInt16LE(64, 58);
  file.writeUInt16LE(3, 60);
  file.writeUInt16LE(2, 62);
  file.set(names, 64);
  file.set(info, 64 + names.length);
  const section = (index: number, name: number, offset: number, size: number) => {
    const at = headers + index * 64;
    file.writeUInt32LE(name, at);
    file.writeBigUInt64LE(BigInt(offset), at + 24);
    file.writeBigUInt64LE(BigInt(size), at + 32);
  };
  section(1, 1, 64 + names.length, info.length);
  section(2, 10, 64, names.length);
  return file;
}
