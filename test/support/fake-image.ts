import type { ImagePath } from '../../analyzer/image/path.js';
import { buildTree } from '../../analyzer/image/tree.js';
import type { Entry, EntryKind, Image, Node, RunConfig } from '../../analyzer/image/types.js';
import type { AccessKind, Trace } from '../../analyzer/trace/types.js';

/** What stands at a path of a fake image: content of a file, or something else made below. */
export type FakeFile =
  | string
  | Uint8Array
  | { content: string | Uint8Array; mode?: number }
  | { symlink: string }
  | { hardlink: ImagePath }
  | { kind: 'dir' | 'char' | 'fifo' };

/** An executable file. */
export function program(content: string | Uint8Array): FakeFile {
  return { content, mode: 0o755 };
}

export function symlink(to: string): FakeFile {
  return { symlink: to };
}

/** An image in memory: one layer with a real tree over it, missing parent directories made on the way. */
export function fakeImage(
  files: Record<ImagePath, FakeFile>,
  config: RunConfig = {},
): Pick<Image, 'tree' | 'config' | 'read' | 'readRange'> {
  const contents = new Map<Entry, Buffer>();
  const entries = Object.entries(files).map(([path, file]) => {
    const { entry, content } = fakeEntry(path, file);
    contents.set(entry, content);
    return entry;
  });
  // A tar has a hardlink after the member that it is another name of.
  entries.sort((a, b) => Number(a.kind === 'hardlink') - Number(b.kind === 'hardlink'));

  const readRange = (node: Node, offset: number, length: number): Promise<Buffer> => {
    const content = contents.get(node.inode);
    if (node.kind !== 'file' || content === undefined)
      throw new Error(`${node.path} is no regular file`);
    return Promise.resolve(content.subarray(offset, offset + length));
  };
  const value = {
    os: 'linux',
    architecture: 'amd64',
    config,
    rootfs: { type: 'layers' as const, diff_ids: [] },
  };
  return {
    tree: buildTree([{ entries }]),
    config: {
      bytes: Buffer.from(JSON.stringify(value)),
      digest: 'sha256:0',
      mediaType: 'application/vnd.oci.image.config.v1+json',
      value,
    },
    read: (node) => readRange(node, 0, node.inode.size),
    readRange,
  };
}

/** A trace of `paths`: each with how it was used and by whom ("exec sh"; "open test" for a list). */
export function fakeTrace(paths: Record<ImagePath, string> | ImagePath[]): Trace {
  const uses = Array.isArray(paths)
    ? Object.fromEntries(paths.map((path) => [path, 'open test']))
    : paths;
  return {
    schemaVersion: 1,
    image: { reference: 'fake', configDigest: 'sha256:0' },
    runs: [],
    paths: Object.fromEntries(
      Object.entries(uses).map(([path, use]) => {
        const [kind = 'open', by = 'test'] = use.split(' ');
        return [path, { access: { [kind as AccessKind]: by }, runs: 1 }];
      }),
    ),
    missing: {},
  };
}

function fakeEntry(path: ImagePath, file: FakeFile): { entry: Entry; content: Buffer } {
  if (typeof file === 'string' || file instanceof Uint8Array)
    return fakeEntry(path, { content: file });
  if ('content' in file) {
    const content = Buffer.from(file.content as string);
    return { entry: member(path, 'file', content.length, { mode: file.mode ?? 0o644 }), content };
  }
  const content = Buffer.alloc(0);
  if ('symlink' in file)
    return { entry: member(path, 'symlink', 0, { mode: 0o777, link: file.symlink }), content };
  if ('hardlink' in file)
    return { entry: member(path, 'hardlink', 0, { link: file.hardlink }), content };
  return { entry: member(path, file.kind, 0, { mode: 0o755 }), content };
}

function member(path: ImagePath, kind: EntryKind, size: number, more: Partial<Entry>): Entry {
  return {
    path,
    kind,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    size,
    layer: 0,
    headerOffset: 0,
    dataOffset: 512,
    storedSize: size,
    endOffset: 512 + size,
    ...more,
  };
}
