/** Pins of the I/O APIC that few machines use, edge-triggered by ISA's custom; the floppy's is the first. */
const candidates = [6, 7, 3, 15, 14, 13];

/** In an entry of the redirection table (82093AA datasheet, 3.2.4): the vector, and whether it is masked. */
const vector = 0xffn;
const masked = 1n << 16n;

/** Interrupt lines that nobody in the guest has taken, likely ones first. */
export function freeLines(redirections: readonly bigint[], taken: readonly number[]): number[] {
  return candidates.filter((line) => {
    const entry = redirections[line];
    if (entry === undefined) return false;
    return !taken.includes(line) && (entry & masked) !== 0n && (entry & vector) === 0n;
  });
}
