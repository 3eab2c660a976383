/** What a made-up ELF file says to the dynamic loader. */
export interface FakeElf {
  bits?: 32 | 64;
  endian?: 'little' | 'big';
  machine?: number;
  interpreter?: string;
  needed?: string[];
  soname?: string;
  rpath?: string;
  runpath?: string;
}

/** A minimal ELF file (gABI): header, PT_LOAD, PT_INTERP, PT_DYNAMIC, dynamic section, strings. */
export function fakeElf(elf: FakeElf = {}): Buffer {
  const { bits = 64, endian = 'little', machine = 62, needed = [] } = elf;
  const wide = bits === 64;
  const little = endian === 'little';
  const base = 0x10000;
  const u16 = (value: number): Buffer => {
    const out = Buffer.alloc(2);
    if (little) out.writeUInt16LE(value);
    else out.writeUInt16BE(value);
    return out;
  };
  const u32 = (value: number): Buffer => {
    const out = Buffer.alloc(4);
    if (little) out.writeUInt32LE(value);
    else out.writeUInt32BE(value);
    return out;
  };
  const word = (value: number): Buffer =>
    wide ? Buffer.concat(little ? [u32(value), u32(0)] : [u32(0), u32(value)]) : u32(value);

  let strings = '\0';
  const name = (text: string): number => {
    const at = strings.length;
    strings += `${text}\0`;
    return at;
  };
  const tags: [number, number][] = needed.map((one) => [1, name(one)]);
  if (elf.soname !== undefined) tags.push([14, name(elf.soname)]);
  if (elf.rpath !== undefined) tags.push([15, name(elf.rpath)]);
  if (elf.runpath !== undefined) tags.push([29, name(elf.runpath)]);

  const headerSize = wide ? 64 : 52;
  const entrySize = wide ? 56 : 32;
  const dynamicAt = headerSize + 3 * entrySize;
  const dynamicSize = (tags.length + 3) * (wide ? 16 : 8);
  const stringsAt = dynamicAt + dynamicSize;
  const interpreterAt = stringsAt + strings.length;
  const interpreter = Buffer.from(elf.interpreter === undefined ? '' : `${elf.interpreter}\0`);
  const size = interpreterAt + interpreter.length;

  const segment = (type: number, offset: number, length: number): Buffer =>
    Buffer.concat(
      wide
        ? [
            u32(type),
            u32(4),
            ...[offset, base + offset, base + offset, length, length, 8].map(word),
          ]
        : [type, offset, base + offset, base + offset, length, length, 4, 8].map(u32),
    );
  return Buffer.concat([
    Buffer.from([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, little ? 1 : 2, 1]),
    Buffer.alloc(9),
    u16(3),
    u16(machine),
    u32(1),
    ...[0, headerSize, 0].map(word),
    u32(0),
    ...[headerSize, entrySize, 3, 0, 0, 0].map(u16),
    segment(1, 0, size),
    interpreter.length > 0 ? segment(3, interpreterAt, interpreter.length) : segment(0, 0, 0),
    segment(2, dynamicAt, dynamicSize),
    ...[...tags, [5, base + stringsAt], [10, strings.length], [0, 0]].map(([tag = 0, value = 0]) =>
      Buffer.concat([word(tag), word(value)]),
    ),
    Buffer.from(strings, 'latin1'),
    interpreter,
  ]);
}
