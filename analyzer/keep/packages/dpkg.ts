import { baseName, pathToBytes, type ImagePath } from '../../image/path.js';
import type { Node, Tree } from '../../image/types.js';
import type { ImageFiles } from '../image-files.js';
import { childrenOf, filesBelow } from '../tree-walk.js';
import type { Policy, Rewrite } from '../types.js';
import { dependencyNames, parseControlFile, type Stanza } from './control-file.js';
import type { PackageDatabase, RemainingDatabase } from './package-database.js';
import { listedPath, type InstalledPackage } from './package-index.js';

const adminDir = '/var/lib/dpkg';

/** dpkg's database, and distroless images' variant of it with one status file per package. */
export async function openDpkg(
  tree: Tree,
  files: ImageFiles,
): Promise<PackageDatabase | undefined> {
  const records: DpkgRecord[] = [];
  const status = tree.get(`${adminDir}/status`);
  const info = tree.get(`${adminDir}/info`);
  for (const stanza of parseControlFile(await files.text(status))) {
    if (!/\binstalled$/.test(stanza.fields.get('status') ?? '')) continue;
    const lists = listNames(stanza).map((name) => info?.children?.get(`${name}.list`));
    const list = lists.find((node) => node !== undefined);
    records.push(await record(stanza, list, 'list', tree, files));
  }
  for (const node of childrenOf(tree, `${adminDir}/status.d`)) {
    if (node.path.endsWith('.md5sums')) continue;
    const [stanza] = parseControlFile(await files.text(node));
    if (stanza?.fields.has('package') !== true) continue;
    const sums = tree.get(`${node.path}.md5sums`);
    records.push({
      ...(await record(stanza, sums, 'md5sums', tree, files)),
      statusFile: node.path,
    });
  }
  return records.length === 0 ? undefined : new DpkgDatabase(records, tree, files);
}

interface DpkgRecord {
  stanza: Stanza;
  installed: InstalledPackage;
  /** Of a package in status.d. */
  statusFile?: ImagePath;
}

class DpkgDatabase implements PackageDatabase {
  readonly packages: readonly InstalledPackage[];
  private infoByPackage: Map<string, Node[]> | undefined;

  constructor(
    private readonly records: readonly DpkgRecord[],
    private readonly tree: Tree,
    private readonly files: ImageFiles,
  ) {
    this.packages = records.map((one) => one.installed);
  }

  async reduce(
    remaining: ReadonlySet<InstalledPackage>,
    isKept: (path: ImagePath) => boolean,
    policy: Policy,
  ): Promise<RemainingDatabase> {
    const paths: ImagePath[] = [];
    const rewrites: Rewrite[] = [];
    const put = (node: Node | undefined, content: string | undefined, why: string): void => {
      if (node?.kind !== 'file') return;
      paths.push(node.path);
      if (content !== undefined)
        rewrites.push({ path: node.path, content: pathToBytes(content), why });
    };
    const stay = this.records.filter(({ installed }) => remaining.has(installed));
    const inStatus = stay.filter(({ statusFile }) => statusFile === undefined);

    if (inStatus.length > 0) {
      const status = inStatus.map(({ stanza }) => `${this.truthful(stanza, isKept)}\n\n`).join('');
      const before = this.records.filter(({ statusFile }) => statusFile === undefined).length;
      put(
        this.tree.get(`${adminDir}/status`),
        status,
        `dpkg status of ${inStatus.length} packages instead of ${before}`,
      );
      for (const name of ['arch', 'diversions', 'statoverride', 'info/format'])
        put(this.tree.get(`${adminDir}/${name}`), undefined, '');
    }
    for (const { stanza } of inStatus)
      for (const node of this.infoFiles(stanza)) {
        if (node.path.endsWith('.list') || node.path.endsWith('.md5sums'))
          put(node, await this.keptLines(node, isKept), 'dpkg file list without removed files');
        else if (policy === 'safe') put(node, undefined, '');
      }
    for (const { statusFile } of stay) {
      if (statusFile === undefined) continue;
      put(this.tree.get(statusFile), undefined, '');
      const sums = this.tree.get(`${statusFile}.md5sums`);
      if (sums !== undefined)
        put(sums, await this.keptLines(sums, isKept), 'dpkg file list without removed files');
    }
    return { paths, rewrites };
  }

  /** The lines of a .list or .md5sums that name a kept path or a directory; undefined if all do. */
  private async keptLines(
    node: Node,
    isKept: (path: ImagePath) => boolean,
  ): Promise<string | undefined> {
    const text = await this.files.text(node);
    const lines = text.split('\n').filter((line) => line !== '');
    const kept = lines.filter((line) => {
      const listed = node.path.endsWith('.md5sums') ? md5sumsPath(line) : line;
      return listed !== undefined && this.isTrue(listed, isKept);
    });
    return kept.length === lines.length ? undefined : kept.map((line) => `${line}\n`).join('');
  }

  /** The stanza without those Conffiles that are gone, so that `dpkg --verify` finds what it lists. */
  private truthful(stanza: Stanza, isKept: (path: ImagePath) => boolean): string {
    if (!stanza.fields.has('conffiles')) return stanza.text;
    const lines: string[] = [];
    let within = false;
    let header: string | undefined;
    for (const line of stanza.text.split('\n')) {
      if (!line.startsWith(' ')) {
        within = /^conffiles:/i.test(line);
        if (within) header = line;
        else lines.push(line);
      } else if (!within) {
        lines.push(line);
      } else if (this.isTrue(line.trim().split(' ')[0] ?? '', isKept)) {
        if (header !== undefined) lines.push(header);
        header = undefined;
        lines.push(line);
      }
    }
    return lines.join('\n');
  }

  private isTrue(listed: string, isKept: (path: ImagePath) => boolean): boolean {
    const path = listedPath(this.tree, listed);
    return path === undefined ? this.tree.resolve(listed).node?.kind === 'dir' : isKept(path);
  }

  private infoFiles(stanza: Stanza): Node[] {
    this.infoByPackage ??= groupByPackage(filesBelow(this.tree.get(`${adminDir}/info`)));
    return listNames(stanza).flatMap((name) => this.infoByPackage?.get(name) ?? []);
  }
}

/** Files like info/libc6:amd64.list by what comes before the last dot. */
function groupByPackage(files: Iterable<Node>): Map<string, Node[]> {
  const groups = new Map<string, Node[]>();
  for (const node of files) {
    const name = baseName(node.path).replace(/\.[^.]*$/, '');
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [node]);
    else group.push(node);
  }
  return groups;
}

/** A package's files in info/ start with its name, for Multi-Arch: same packages with the architecture. */
function listNames({ fields }: Stanza): string[] {
  const name = fields.get('package') ?? '';
  const architecture = fields.get('architecture');
  return architecture === undefined ? [name] : [`${name}:${architecture}`, name];
}

async function record(
  stanza: Stanza,
  list: Node | undefined,
  form: 'list' | 'md5sums',
  tree: Tree,
  files: ImageFiles,
): Promise<DpkgRecord> {
  const { fields } = stanza;
  const listed = (await files.text(list))
    .split('\n')
    .map((line) => (form === 'list' ? line : md5sumsPath(line)))
    .filter((line) => line !== undefined)
    .filter((line) => line !== '')
    .map((line) => listedPath(tree, line))
    .filter((path) => path !== undefined);
  const name = fields.get('package') ?? '';
  const architecture = fields.get('architecture');
  return {
    stanza,
    installed: {
      manager: 'dpkg',
      name,
      version: fields.get('version') ?? '',
      ...(architecture === undefined ? {} : { architecture }),
      files: listed,
      source: /^\S+/.exec(fields.get('source') ?? name)?.[0] ?? name,
      depends: dependencyNames(`${fields.get('pre-depends') ?? ''},${fields.get('depends') ?? ''}`),
      essential: fields.get('essential') === 'yes',
    },
  };
}

/** The path of a line of md5sums(5)-style "digest  relative/path". */
function md5sumsPath(line: string): string | undefined {
  const path = /^[0-9a-f]{32} [ *](.+)$/.exec(line)?.[1];
  return path === undefined ? undefined : `/${path}`;
}
