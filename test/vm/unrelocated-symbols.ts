import { readFileSync, writeFileSync } from 'node:fs';
import { cached, inTestCache } from './cache.js';
import { kernelRelease, type Suite } from './kernel.js';
import type { Symbols } from './symbols.js';
import { startTcgGuest } from './tcg-guest.js';

/** The exported symbols of the kernel of `suite` where it is not relocated, as on KVM here; asked of it once. */
export async function symbolsOf(suite: Suite, directory: string): Promise<Symbols> {
  const path = inTestCache('kernels', suite, `symbols-${kernelRelease(suite)}`);
  await cached(path, async (temporary) => {
    const guest = await startTcgGuest({ suite, directory, kaslr: false, kallsyms: true });
    await guest.stop();
    const lines = [...guest.symbols].map(([name, address]) => `${name} ${address}\n`);
    writeFileSync(temporary, lines.join(''));
  });
  const lines = readFileSync(path, 'latin1').trimEnd().split('\n');
  return new Map(
    lines.map((line) => {
      const [name = '', address = ''] = line.split(' ');
      return [name, BigInt(address)];
    }),
  );
}
