import { execFileSync } from 'node:child_process';

const decompressors = [
  { magic: 'fd377a585a', command: 'xz' },
  { magic: '28b52ffd', command: 'zstd' },
];

/** The ELF kernel inside a bzImage (Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length). */
export function unpackKernel(bzImage: Buffer): Buffer {
  const setupSectors = bzImage[0x1f1] ?? 0;
  const start = (setupSectors + 1) * 512 + bzImage.readUInt32LE(0x248);
  // The last four bytes are the unpacked size, not part of the stream.
  const payload = bzImage.subarray(start, start + bzImage.readUInt32LE(0x24c) - 4);
  const found = decompressors.find(({ magic }) => payload.toString('hex', 0, 8).startsWith(magic));
  if (!found) throw new Error(`unknown kernel compression ${payload.toString('hex', 0, 8)}`);
  const options = { input: payload, maxBuffer: 1 << 29 };
  const elf = execFileSync(found.command, ['-dc'], options);
  if (elf.toString('latin1', 0, 4) !== '\x7fELF') throw new Error('the kernel is not an ELF file');
  return elf;
}

/**
 * Replace each FWAIT (9b) by a NOP, for KVM's instruction emulator does not know it; the places replaced.
 * An intended fwait always has an entry in __ex_table, so this depends on no version of the kernel.
 */
export function patchFwait(elf: Buffer): number[] {
  const table = section(elf, '__ex_table');
  const places: number[] = [];
  // struct exception_table_entry: insn, fixup, type; insn relative to itself (arch/x86/include/asm/extable.h)
  for (let n = 0; n + 12 <= table.size; n += 12) {
    const instruction = table.address + n + elf.readInt32LE(table.offset + n);
    const at = fileOffset(elf, instruction);
    if (at === undefined || elf[at] !== 0x9b) continue;
    elf[at] = 0x90;
    places.push(instruction);
  }
  return places;
}

/** Low 32 bits of an address: all of the kernel lies in the highest 2 GiB, and this stays exact. */
const addressAt = (elf: Buffer, at: number): number => elf.readUInt32LE(at);

function section(elf: Buffer, wanted: string): { address: number; offset: number; size: number } {
  const table = Number(elf.readBigUInt64LE(40));
  const count = elf.readUInt16LE(60);
  const field = (n: number, at: number) => Number(elf.readBigUInt64LE(table + 64 * n + at));
  const names = field(elf.readUInt16LE(62), 24);
  for (let n = 0; n < count; n++) {
    const name = names + elf.readUInt32LE(table + 64 * n);
    if (elf.toString('latin1', name, elf.indexOf(0, name)) !== wanted) continue;
    return {
      address: addressAt(elf, table + 64 * n + 16),
      offset: field(n, 24),
      size: field(n, 32),
    };
  }
  throw new Error(`the kernel has no section ${wanted}`);
}

function fileOffset(elf: Buffer, address: number): number | undefined {
  const table = Number(elf.readBigUInt64LE(32));
  for (let n = 0; n < elf.readUInt16LE(56); n++) {
    const header = table + 56 * n;
    const start = addressAt(elf, header + 16);
    const loaded = elf.readUInt32LE(header) === 1;
    if (loaded && start <= address && address < start + Number(elf.readBigUInt64LE(header + 32)))
      return Number(elf.readBigUInt64LE(header + 8)) + address - start;
  }
  return undefined;
}
