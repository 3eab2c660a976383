import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { archive, member, pax } from '../support/raw-tar.js';

/** One path of the tree as it is on disk. Paths here are "a/b", in latin1, so that any byte will do. */
interface Found {
  stats: Stats;
  /** All that a layer must carry if it changes. */
  signature: string;
}

/**
 * A directory that changes at random (as root), and the layers that say how: what a container build
 * does. The directory itself is the truth that the layers must come out as.
 */
export class RandomLayers {
  readonly root = mkdtempSync(join(tmpdir(), 'random-layers-'));
  readonly #xattrs = new Map<number, Buffer>();
  readonly #options: { crossLayerLinks: boolean };
  #state: number;

  constructor(seed: number, options: { crossLayerLinks: boolean }) {
    this.#state = seed * 7919 + 1;
    this.#options = options;
    mkdirSync(join(this.root, 'base'));
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  /** Change the directory `changes` times; the layer tar that says so. */
  next(changes: number): Buffer {
    const before = this.#scan();
    for (let i = 0; i < changes; i++) this.#change();
    this.#roundTimes();
    return this.#layer(before, this.#scan());
  }

  #change(): void {
    const paths = [...this.#scan().keys()];
    const dirs = ['', ...paths.filter((path) => this.#stats(path).isDirectory())];
    const files = paths.filter((path) => this.#stats(path).isFile());
    const dir = this.#pick(dirs) ?? '';
    const victim = this.#pick(paths);
    const file = this.#pick(files);
    const fresh = `${dir === '' ? '' : `${dir}/`}${this.#pick(names) ?? 'x'}`;
    switch (this.#random(9)) {
      case 0:
      case 1:
        this.#clear(fresh);
        writeFileSync(this.#path(fresh), this.#content());
        this.#own(fresh);
        if (this.#random(3) === 0) this.#capability(fresh);
        break;
      case 2:
        if (!paths.includes(fresh)) mkdirSync(this.#path(fresh));
        this.#own(fresh);
        break;
      case 3:
        this.#clear(fresh);
        symlinkSync(
          this.#pick(['base', '/base', '../..', 'nowhere', 'n\xfc']) ?? '',
          this.#path(fresh),
        );
        break;
      case 4:
        if (file === undefined || fresh === file || this.#contains(fresh, file)) break;
        this.#clear(fresh);
        linkSync(this.#path(file), this.#path(fresh));
        break;
      case 5:
        if (victim !== undefined) this.#clear(victim);
        break;
      case 6:
        if (victim !== undefined) this.#own(victim);
        break;
      case 7:
        if (file !== undefined) appendFileSync(this.#path(file), this.#content());
        break;
      case 8:
        this.#clear(fresh);
        execFileSync('bash', [
          '-c',
          'exec mknod "$(printf %b "$1")" "${@:2}"',
          '-',
          escaped(this.#path(fresh)),
          ...(this.#random(2) ? ['p'] : ['c', '1', String(this.#random(200))]),
        ]);
        break;
    }
  }

  #layer(before: Map<string, Found>, after: Map<string, Found>): Buffer {
    const changed = new Set(
      [...after]
        .filter(([path, { signature }]) => before.get(path)?.signature !== signature)
        .map(([path]) => path),
    );
    const gone = [...before.keys()].filter(
      (path) => !after.has(path) && this.#isShown(path, after),
    );
    // Some directories are said anew as a whole, as engines do with `opaque`.
    const members: Buffer[] = [];
    const opaque = [...after].flatMap(([path, { stats }]) =>
      stats.isDirectory() && before.get(path)?.stats.isDirectory() && this.#random(6) === 0
        ? [path]
        : [],
    );
    for (const dir of opaque) {
      members.push(member({ name: latin(`${dir}/.wh..wh..opq`) }));
      for (const path of after.keys()) if (path.startsWith(`${dir}/`)) changed.add(path);
    }
    for (const path of gone) {
      const slash = path.lastIndexOf('/') + 1;
      members.push(member({ name: latin(`${path.slice(0, slash)}.wh.${path.slice(slash)}`) }));
    }
    const firsts = new Map<number, string>();
    if (this.#options.crossLayerLinks) {
      for (const [path, { stats }] of after) {
        if (!changed.has(path) && stats.nlink > 1) firsts.set(stats.ino, path);
      }
    } else {
      // A group with a change comes whole, as engines have it.
      const inodes = new Set([...changed].map((path) => after.get(path)?.stats.ino));
      for (const [path, { stats }] of after)
        if (!stats.isDirectory() && inodes.has(stats.ino)) changed.add(path);
    }
    const content: Buffer[] = [];
    for (const [path, found] of after)
      if (changed.has(path)) content.push(this.#member(path, found, firsts));
    return archive(...(this.#random(2) ? [...members, ...content] : [...content, ...members]));
  }

  #member(path: string, { stats }: Found, firsts: Map<number, string>): Buffer {
    const common = {
      name: latin(path),
      mode: stats.mode & 0o7777,
      uid: stats.uid,
      gid: stats.gid,
      mtime: stats.mtimeMs / 1000,
    };
    if (stats.isDirectory()) return member({ ...common, name: latin(`${path}/`), type: '5' });
    const first = firsts.get(stats.ino);
    if (first !== undefined) return member({ ...common, type: '1', link: latin(first) });
    firsts.set(stats.ino, path);
    if (stats.isSymbolicLink()) {
      return member({ ...common, type: '2', link: readlinkSync(this.#path(path), 'buffer') });
    }
    if (stats.isFIFO()) return member({ ...common, type: '6' });
    if (stats.isCharacterDevice())
      return member({ ...common, type: '3', major: 1, minor: stats.rdev & 0xff });
    const xattr = this.#xattrs.get(stats.ino);
    const body = member({ ...common, data: readFileSync(this.#path(path)) });
    return xattr ? Buffer.concat([pax([['SCHILY.xattr.user.random', xattr]]), body]) : body;
  }

  /** Whether the parent of a path that is gone still is a directory: else the parent says enough. */
  #isShown(path: string, after: Map<string, Found>): boolean {
    const slash = path.lastIndexOf('/');
    return slash < 0 || (after.get(path.slice(0, slash))?.stats.isDirectory() ?? false);
  }

  #scan(dir = '', into = new Map<string, Found>()): Map<string, Found> {
    for (const name of readdirSync(this.#path(dir), 'buffer')) {
      const path = `${dir === '' ? '' : `${dir}/`}${name.toString('latin1')}`;
      const stats = this.#stats(path);
      const data = stats.isFile() ? readFileSync(this.#path(path), 'latin1') : '';
      const parts = [stats.mode, stats.uid, stats.gid, stats.mtimeMs, stats.rdev, stats.ino, data];
      into.set(path, { stats, signature: parts.join(' ') });
      if (stats.isDirectory()) this.#scan(path, into);
    }
    return into;
  }

  // Layers have whole seconds.
  #roundTimes(): void {
    for (const [path, { stats }] of this.#scan()) {
      if (stats.mtimeMs % 1000 !== 0) this.#touch(path);
    }
  }

  #own(path: string): void {
    if (!this.#stats(path).isSymbolicLink()) {
      chownSync(this.#path(path), this.#random(2000), this.#random(2000));
      chmodSync(this.#path(path), this.#random(0o10000));
    }
    this.#touch(path);
  }

  #touch(path: string): void {
    const time = 1_000_000_000 + this.#random(700_000_000);
    lutimesSync(this.#path(path), time, time);
  }

  #capability(path: string): void {
    const value = Buffer.from(
      Array.from({ length: 1 + this.#random(20) }, () => this.#random(256)),
    );
    const script = 'exec setfattr -n user.random -v "$2" -- "$(printf %b "$1")"';
    execFileSync('bash', [
      '-c',
      script,
      '-',
      escaped(this.#path(path)),
      `0x${value.toString('hex')}`,
    ]);
    this.#xattrs.set(this.#stats(path).ino, value);
  }

  #clear(path: string): void {
    try {
      const { ino } = this.#stats(path);
      execFileSync('bash', [
        '-c',
        'exec rm -rf -- "$(printf %b "$1")"',
        '-',
        escaped(this.#path(path)),
      ]);
      if (![...this.#scan().values()].some(({ stats }) => stats.ino === ino))
        this.#xattrs.delete(ino);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  #contains(dir: string, path: string): boolean {
    return path.startsWith(`${dir}/`);
  }

  #content(): Buffer {
    return Buffer.from(Array.from({ length: this.#random(1500) }, () => this.#random(256)));
  }

  #stats(path: string): Stats {
    return lstatSync(this.#path(path));
  }

  #path(path: string): Buffer {
    return Buffer.concat([Buffer.from(this.root), latin(path === '' ? '' : `/${path}`)]);
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[this.#random(from.length)];
  }

  #random(below: number): number {
    this.#state = (this.#state * 1103515245 + 12345) & 0x7fffffff;
    return below === 0 ? 0 : (this.#state >>> 8) % below;
  }
}

const names = ['a', 'b', 'c', 'dir', 'base', 'n\xfc', 'u\xc3\xbc', '.hidden', 'with space'];

function latin(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** For bash's printf %b, since arguments of programs are text here. */
function escaped(path: Buffer): string {
  return [...path].map((byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join('');
}
