import type { PagingRegisters } from '../guest/index.js';
import { Refusal } from '../refusal.js';

/** Where a register is in the answer to `g`, and its number for `P`. */
export interface RegisterPlace {
  number: number;
  /** In bytes. */
  offset: number;
  size: number;
}

/** What is needed of a processor; QEMU names them so since 4.0 (gdb-xml/i386-64bit.xml). */
export const neededRegisters = [
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
  ...['rip', 'eflags', 'cs', 'cr0', 'cr3', 'cr4', 'efer'],
] as const;

export type RegisterLayout = ReadonlyMap<string, RegisterPlace>;

/**
 * The layout by the stub's description of its target, as the concatenation of its files in their order.
 * Refused where a register is missing that page tables or calls need.
 */
export function registerLayout(description: string): RegisterLayout {
  const layout = new Map<string, RegisterPlace>();
  let next = 0;
  let offset = 0;
  // QEMU's own file has registers in comments.
  const plain = description.replace(/<!--[^]*?-->/g, '');
  for (const [, text = ''] of plain.matchAll(/<reg\s([^>]*)>/g)) {
    const attributes = new Map<string, string>();
    for (const [, name = '', value = ''] of text.matchAll(/(\w+)="([^"]*)"/g)) {
      attributes.set(name, value);
    }
    const number = Number(attributes.get('regnum') ?? next);
    const size = Math.ceil(Number(attributes.get('bitsize') ?? 0) / 8);
    layout.set(attributes.get('name') ?? '', { number, offset, size });
    offset += size;
    next = number + 1;
  }
  const missing = neededRegisters.filter((name) => !layout.has(name));
  if (missing.length > 0) {
    throw new Refusal('registers', `the gdb stub does not tell of ${missing.join(', ')}`, {
      hint: 'a stub of QEMU 4.0 or newer, for a 64-bit x86 guest, does',
    });
  }
  return layout;
}

/** The values in the answer to `g`, in hexadecimal; what the stub does not know ("xx") is 0. */
export function decodeRegisters(layout: RegisterLayout, answer: string): Map<string, bigint> {
  const bytes = Buffer.from(answer.replaceAll('x', '0'), 'hex');
  const values = new Map<string, bigint>();
  const word = Buffer.alloc(8);
  for (const [name, { offset, size }] of layout) {
    if (size > 8 || offset + size > bytes.length) continue;
    word.fill(0);
    bytes.copy(word, 0, offset, offset + size);
    values.set(name, word.readBigUInt64LE());
  }
  return values;
}

/** A value as `P` wants it: little endian, in hexadecimal. */
export function encodeRegister({ size }: RegisterPlace, value: bigint): string {
  const bytes = Buffer.from(
    BigInt.asUintN(8 * size, value)
      .toString(16)
      .padStart(2 * size, '0'),
    'hex',
  );
  return bytes.reverse().toString('hex');
}

/** An answer to `g` in which these registers have other values. */
export function replaceRegisters(
  layout: RegisterLayout,
  answer: string,
  values: Iterable<readonly [string, bigint]>,
): string {
  let text = answer;
  for (const [name, value] of values) {
    const place = layout.get(name);
    if (place === undefined) throw new RangeError(`no register ${name}`);
    const [start, end] = [2 * place.offset, 2 * (place.offset + place.size)];
    text = text.slice(0, start) + encodeRegister(place, value) + text.slice(end);
  }
  return text;
}

/** The registers by which a processor finds its page tables. */
export function pagingRegisters(values: ReadonlyMap<string, bigint>): PagingRegisters {
  const value = (name: string) => values.get(name) ?? 0n;
  return { cr0: value('cr0'), cr3: value('cr3'), cr4: value('cr4'), efer: value('efer') };
}
