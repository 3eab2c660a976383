import type { Relocation } from './elf-object.js';
import { damaged } from './elf-object.js';

/** The relocations that the guest stage may have (System V ABI for x86-64, table 4.9). */
export const RelocationType = {
  none: 0,
  absolute64: 1,
  pc32: 2,
  plt32: 4,
  gotPcRel: 9,
  gotPcRelX: 41,
  rexGotPcRelX: 42,
} as const;

/** Refused by name: addresses that fit 32 bits are never where the stage runs. */
const refused = new Map([
  [10, 'R_X86_64_32'],
  [11, 'R_X86_64_32S'],
]);

/** Whether the place wants the address of a table entry rather than of the symbol. */
export function throughTable(type: number): boolean {
  return (
    type === RelocationType.gotPcRel ||
    type === RelocationType.gotPcRelX ||
    type === RelocationType.rexGotPcRelX
  );
}

function known(type: number): void {
  if ((Object.values(RelocationType) as number[]).includes(type)) return;
  const name = refused.get(type);
  throw damaged(
    name
      ? `it has a ${name} relocation, which is not position independent`
      : `it has a relocation of the unknown type ${type}`,
  );
}

/**
 * Writes one relocation into `image`: `at` is the offset of its place, `place` the address of that,
 * `target` the address of the symbol or (throughTable) of its entry.
 */
export function relocate(
  image: DataView,
  relocation: Relocation,
  at: number,
  place: bigint,
  target: bigint,
  room: number,
): void {
  const { type, addend, symbol } = relocation;
  known(type);
  if (type === RelocationType.none) return;
  const width = type === RelocationType.absolute64 ? 8 : 4;
  if (room < width) throw damaged(`a relocation of ${symbol.name} ends outside its section`);
  if (type === RelocationType.absolute64) {
    image.setBigUint64(at, BigInt.asUintN(64, target + addend), true);
    return;
  }
  const distance = BigInt.asIntN(64, target + addend - place);
  if (distance !== BigInt.asIntN(32, distance)) {
    throw damaged(`${symbol.name} is more than 2 GiB away from where it is used directly`);
  }
  image.setInt32(at, Number(distance), true);
}
