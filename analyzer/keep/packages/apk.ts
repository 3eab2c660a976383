import { pathToBytes, type ImagePath } from '../../image/path.js';
import type { Tree } from '../../image/types.js';
import type { ImageFiles } from '../image-files.js';
import { childrenOf } from '../tree-walk.js';
import type { Policy, Rewrite } from '../types.js';
import type { PackageDatabase, RemainingDatabase } from './package-database.js';
import { listedPath, type InstalledPackage } from './package-index.js';

/** apk's database: one file of stanzas with one-letter fields (apk_package's installed format). */
export async function openApk(tree: Tree, files: ImageFiles): Promise<PackageDatabase | undefined> {
  for (const dir of ['/lib/apk/db', '/usr/lib/apk/db']) {
    const { node } = tree.resolve(`${dir}/installed`);
    if (node?.kind !== 'file') continue;
    const text = await files.text(node, 64 << 20);
    const stanzas = text.split('\n\n').filter((stanza) => stanza.trim() !== '');
    return new ApkDatabase(
      node.path,
      stanzas.map((stanza) => parse(stanza, tree)),
      tree,
    );
  }
  return undefined;
}

interface ApkRecord {
  installed: InstalledPackage;
  /** Lines of the stanza; those about a file with its path, undefined if the tree has no such file. */
  lines: { text: string; about?: { path: ImagePath | undefined } }[];
}

class ApkDatabase implements PackageDatabase {
  readonly packages: readonly InstalledPackage[];

  constructor(
    private readonly file: ImagePath,
    private readonly records: readonly ApkRecord[],
    private readonly tree: Tree,
  ) {
    this.packages = records.map(({ installed }) => installed);
  }

  reduce(
    remaining: ReadonlySet<InstalledPackage>,
    isKept: (path: ImagePath) => boolean,
    policy: Policy,
  ): Promise<RemainingDatabase> {
    const stay = this.records.filter(({ installed }) => remaining.has(installed));
    if (stay.length === 0) return Promise.resolve({ paths: [], rewrites: [] });
    const text = stay
      .map(({ lines }) =>
        lines
          .filter(
            ({ about }) => about === undefined || (about.path !== undefined && isKept(about.path)),
          )
          .map((line) => `${line.text}\n`)
          .join(''),
      )
      .map((stanza) => `${stanza}\n`)
      .join('');
    const rewrite: Rewrite = {
      path: this.file,
      content: pathToBytes(text),
      why: `apk database of ${stay.length} packages instead of ${this.records.length}`,
    };
    const dir = this.file.slice(0, this.file.lastIndexOf('/'));
    const others =
      policy === 'safe' ? childrenOf(this.tree, dir).filter(({ kind }) => kind === 'file') : [];
    const settings = ['/etc/apk/world', '/etc/apk/repositories', '/etc/apk/arch']
      .map((path) => this.tree.get(path))
      .filter((node) => node !== undefined);
    const paths = new Set([this.file, ...[...others, ...settings].map(({ path }) => path)]);
    return Promise.resolve({ paths: [...paths], rewrites: [rewrite] });
  }
}

function parse(stanza: string, tree: Tree): ApkRecord {
  const fields = new Map<string, string>();
  const lines: ApkRecord['lines'] = [];
  const files: ImagePath[] = [];
  let dir = '';
  let about: { path: ImagePath | undefined } | undefined;
  for (const text of stanza.split('\n').filter((line) => line !== '')) {
    const key = text.slice(0, 2);
    const value = text.slice(2);
    if (key === 'F:') {
      dir = value;
      about = undefined;
    } else if (key === 'R:') {
      about = { path: listedPath(tree, `/${dir}/${value}`) };
      if (about.path !== undefined) files.push(about.path);
    } else if (key !== 'a:' && key !== 'Z:') {
      fields.set(key, value);
      about = undefined;
    }
    lines.push(about === undefined ? { text } : { text, about });
  }
  const name = fields.get('P:') ?? '';
  return {
    lines,
    installed: {
      manager: 'apk',
      name,
      version: fields.get('V:') ?? '',
      ...(fields.has('A:') ? { architecture: fields.get('A:') ?? '' } : {}),
      files,
      source: fields.get('o:') ?? name,
      depends: (fields.get('D:') ?? '').split(' ').map((one) => one.replace(/[<>=~].*/, '')),
      essential: ['busybox', 'alpine-baselayout', 'musl'].includes(name),
    },
  };
}
