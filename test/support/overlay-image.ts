import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Programs of this machine that the overlay brings, with the libraries that they need. */
const programs = ['/bin/bash', '/usr/bin/sha256sum', '/usr/bin/stty'];

/** A squashfs overlay at `directory`/overlay.squashfs: bash, what it needs, and /opt/hello. */
export function makeOverlayImage(directory: string): string {
  const tree = join(directory, 'overlay-tree');
  const put = (path: string, from: string) => {
    const target = join(tree, path);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(from, target);
  };
  for (const program of programs) {
    put(program, program);
    const told = execFileSync('ldd', [program], { encoding: 'utf8' });
    for (const [, library = ''] of told.matchAll(/(\/\S+) \(0x/g)) put(library, library);
  }
  mkdirSync(join(tree, 'opt'), { recursive: true });
  writeFileSync(join(tree, 'opt/hello'), 'from the overlay\n');
  const image = join(directory, 'overlay.squashfs');
  execFileSync('mksquashfs', [tree, image, '-noappend', '-quiet', '-no-progress']);
  return image;
}
