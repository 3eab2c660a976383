import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  type Stats,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Everything about a file that must survive. */
export interface FileRecord {
  mode: number;
  uid: number;
  gid: number;
  /** Whole seconds. */
  mtime: number;
  device: number;
  /** sha256 of a file's bytes, a symlink's text. */
  content: string;
  /** Other names of the same inode, sorted. */
  links: string[];
  /** As `getfattr` prints them. */
  xattrs: string;
}

/** All files below `root` by their path in latin1, the root itself as "/". */
export function snapshot(root: string): Map<string, FileRecord> {
  const records = new Map<string, FileRecord>();
  const names = new Map<string, string[]>();
  const inodes = new Map<string, string>();
  const visit = (path: Buffer, shown: string): void => {
    const stats = lstatSync(path);
    if (!stats.isDirectory()) {
      const inode = `${stats.dev}:${stats.ino}`;
      inodes.set(shown, inode);
      names.set(inode, [...(names.get(inode) ?? []), shown].sort());
    }
    records.set(shown, { ...recordOf(path, stats), links: [] });
    if (!stats.isDirectory()) return;
    for (const name of readdirSync(path, 'buffer')) {
      const child = Buffer.concat([path, Buffer.from('/'), name]);
      visit(child, `${shown === '/' ? '' : shown}/${name.toString('latin1')}`);
    }
  };
  visit(Buffer.from(root), '/');
  for (const [path, inode] of inodes) {
    const record = records.get(path);
    if (record) record.links = names.get(inode) ?? [];
  }
  return records;
}

/** Mount the file system in `file` read-only (with one more option), run `use` on it, unmount. */
export function mounted<T>(file: string, option: string, use: (root: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'mounted-'));
  execFileSync('mount', ['-o', `loop,ro,${option}`, file, dir]);
  try {
    return use(dir);
  } finally {
    execFileSync('umount', [dir]);
    rmSync(dir, { recursive: true });
  }
}

/** Mount the overlay file over the directory `lower` with overlayfs, run `use` on it, unmount. */
export function mountedOver<T>(overlayFile: string, lower: string, use: (merged: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'mounted-'));
  const [overlay, merged] = [join(dir, 'overlay'), join(dir, 'merged')];
  execFileSync('mkdir', [overlay, merged]);
  execFileSync('mount', ['-o', 'loop,ro', overlayFile, overlay]);
  try {
    const options = `lowerdir=${overlay}:${lower}`;
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, merged]);
    try {
      return use(merged);
    } finally {
      execFileSync('umount', [merged]);
    }
  } finally {
    execFileSync('umount', [overlay]);
    rmSync(dir, { recursive: true });
  }
}

function recordOf(path: Buffer, stats: Stats): Omit<FileRecord, 'links'> {
  let content = '';
  if (stats.isFile()) content = createHash('sha256').update(readFileSync(path)).digest('hex');
  if (stats.isSymbolicLink()) content = readlinkSync(path, 'buffer').toString('latin1');
  return {
    mode: stats.mode,
    uid: stats.uid,
    gid: stats.gid,
    mtime: Math.floor(stats.mtimeMs / 1000),
    device: stats.rdev,
    content,
    xattrs: xattrsOf(path),
  };
}

// A file name of any bytes cannot be an argument of execFile, but can be one of a shell's printf.
function xattrsOf(path: Buffer): string {
  const octal = [...path].map((byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join('');
  const script = `p=$(printf '%b_' "$1"); exec getfattr -d -h -m - -e hex --absolute-names -- "\${p%_}"`;
  const output = execFileSync('bash', ['-c', script, 'bash', octal], {
    stdio: ['ignore', 'pipe', 'ignore'],
  }).toString('latin1');
  return output
    .split('\n')
    .filter((line) => /^(user|security|trusted)\./.test(line) && !/overlay/.test(line))
    .sort()
    .join('\n');
}
