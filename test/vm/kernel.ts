import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached, inTestCache } from './cache.js';
import { patchFwait, unpackKernel } from './vmlinux.js';

export const suites = ['bullseye', 'bookworm', 'trixie', 'sid'] as const;
export type Suite = (typeof suites)[number];

/** The directory of the kernel of `suite` (vmlinuz, version, modules/), fetched if need be. */
export function kernelOf(suite: string): string {
  const directory = inTestCache('kernels', suite);
  mkdirSync(directory, { recursive: true });
  const script = fileURLToPath(new URL('get-kernel.sh', import.meta.url));
  execFileSync('sh', [script, suite, directory], { stdio: 'inherit' });
  return directory;
}

/** The release of the kernel of `suite`, as uname -r says. */
export function kernelRelease(suite: string): string {
  return readFileSync(join(kernelOf(suite), 'version'), 'utf8').trim();
}

/** The path of the ELF kernel of `suite`, changed so that an emulating KVM can run it. */
export async function vmlinuxOf(suite: string): Promise<string> {
  const directory = kernelOf(suite);
  return cached(join(directory, 'vmlinux'), (temporary) => {
    const elf = unpackKernel(readFileSync(join(directory, 'vmlinuz')));
    patchFwait(elf);
    writeFileSync(temporary, elf);
  });
}
