import { registerLayout, type RegisterLayout } from './register-layout.js';

/** Where QEMU describes the registers, and bytes that it gives at a time (it has room for 4096 hexadecimal digits). */
const usual = { file: 'i386-64bit.xml', piece: 0x7f0, pieces: 6 };

/** What is needed of a stub to learn of its registers. */
export interface Describing {
  ask: (command: string) => Promise<string>;
  /** Do something for which a machine has to stand that may have been told to go on. */
  whileItStands: <T>(act: () => Promise<T>) => Promise<T>;
}

/**
 * How a stub's registers lie, by its description of its target; `known`: as an earlier connection learnt
 * it. All questions that a QEMU needs are sent at once.
 */
export async function describeRegisters(
  stub: Describing,
  known?: RegisterLayout,
): Promise<RegisterLayout> {
  const [, target, registers] = await Promise.all([
    // Without these questions QEMU sends registers in a shorter format, and lets none be written.
    stub.ask('qSupported:swbreak+;xmlRegisters=i386'),
    pieces(stub, 'target.xml', 0, 1),
    known ? undefined : pieces(stub, usual.file, 0, usual.pieces),
  ]);
  if (known) return known;
  const isUsual =
    target.whole && registers?.whole && filesOf(target.text).every((file) => file === usual.file);
  return registerLayout(
    isUsual
      ? `${target.text}${registers.text}`
      : await stub.whileItStands(() => wholeDescription(stub)),
  );
}

async function wholeDescription(stub: Describing): Promise<string> {
  let description = await wholeFile(stub, 'target.xml');
  for (const file of filesOf(description)) description += await wholeFile(stub, file);
  return description;
}

async function wholeFile(stub: Describing, file: string): Promise<string> {
  let all = '';
  for (let n = 0; n < 1000; n++) {
    const { text, whole } = await pieces(stub, file, n, 1);
    all += text;
    if (whole) break;
  }
  return all;
}

/** Pieces of a file of the description, and whether its end is among them. */
async function pieces(
  stub: Describing,
  file: string,
  first: number,
  count: number,
): Promise<{ text: string; whole: boolean }> {
  const asked = Array.from({ length: count }, (_, n) => {
    const range = `${((first + n) * usual.piece).toString(16)},${usual.piece.toString(16)}`;
    return stub.ask(`qXfer:features:read:${file}:${range}`);
  });
  let text = '';
  for (const answer of await Promise.all(asked)) {
    if (/^[ml]/.test(answer)) text += answer.slice(1);
    if (!answer.startsWith('m')) return { text, whole: true };
  }
  return { text, whole: false };
}

/** The files of which a description is made. */
function filesOf(target: string): string[] {
  return [...target.matchAll(/<xi:include\s+href="([\w.-]+)"/g)].map(([, file = '']) => file);
}
