import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inTestCache } from './cache.js';

/** The path of Debian's QEMU of `suite`, fetched with its libraries if need be, so that it runs here. */
export function debianQemu(suite: 'trixie' | 'sid'): string {
  const directory = inTestCache('qemu', suite);
  const script = fileURLToPath(new URL('get-qemu.sh', import.meta.url));
  execFileSync('sh', [script, suite, directory], { stdio: 'inherit' });
  return join(directory, 'root', 'usr', 'bin', 'qemu-system-x86_64');
}
