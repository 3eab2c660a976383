import type { ImagePath } from './path.js';

export type Digest = `sha256:${string}`;

/** A content descriptor (OCI image spec, descriptor.md). */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
  annotations?: Record<string, string>;
  platform?: Platform;
  artifactType?: string;
}

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

/** The part of an image config's `config` object that we read (OCI config.md and Docker's extensions). */
export interface RunConfig {
  User?: string;
  ExposedPorts?: Record<string, object>;
  Env?: string[];
  Entrypoint?: string[] | null;
  Cmd?: string[] | null;
  Volumes?: Record<string, object> | null;
  WorkingDir?: string;
  Labels?: Record<string, string> | null;
  StopSignal?: string;
  /** Docker extension; times in nanoseconds. */
  Healthcheck?: {
    Test?: string[];
    Interval?: number;
    Timeout?: number;
    StartPeriod?: number;
    Retries?: number;
  };
  Shell?: string[];
}

export interface HistoryEntry {
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  empty_layer?: boolean;
}

/** An image config. Fields that we do not know are kept: `raw` holds the exact bytes. */
export interface ImageConfig extends Platform {
  config?: RunConfig;
  rootfs: { type: 'layers'; diff_ids: Digest[] };
  history?: HistoryEntry[];
  [other: string]: unknown;
}

/** A JSON document together with the exact bytes that its digest is of. */
export interface Document<T> {
  bytes: Buffer;
  digest: Digest;
  mediaType: string;
  value: T;
}

export interface ImageManifest {
  schemaVersion: 2;
  mediaType?: string;
  config: Descriptor;
  layers: Descriptor[];
  annotations?: Record<string, string>;
  subject?: Descriptor;
  artifactType?: string;
}

/** What one tar member of a layer is; whiteouts are OCI layer.md's `.wh.` files. */
export type EntryKind =
  'file' | 'dir' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo' | 'whiteout' | 'opaque';

/** One tar member of a layer, as indexed: all offsets are into the layer's uncompressed tar. */
export interface Entry {
  /** For a whiteout the path that it removes, for an opaque marker the directory it empties. */
  path: ImagePath;
  kind: EntryKind;
  /** Permission bits with setuid, setgid and sticky: 0..0o7777. */
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since the epoch, with fraction where the tar has one. */
  mtime: number;
  /** The exact fraction of `mtime` in nanoseconds, where it is not 0 (a double cannot hold it). */
  mtimeNanoseconds?: number;
  /** Logical bytes of a regular file (holes included); 0 for everything else. */
  size: number;
  /** Of a symlink the text it holds, of a hardlink the image path that it is another name of. */
  link?: string;
  /** Of a device. */
  major?: number;
  minor?: number;
  /** Extended attributes by name, file capabilities included. */
  xattrs?: ReadonlyMap<string, Buffer>;
  /** Where the holes are not: data segments of a sparse file, in order. */
  sparse?: readonly SparseSegment[];
  /** Position of the layer in the image, from 0 at the base. */
  layer: number;
  /** Of the first header block, extension headers (pax, GNU long name) included. */
  headerOffset: number;
  /** Of the first data byte. */
  dataOffset: number;
  /** Bytes of data as stored in the tar (without padding). */
  storedSize: number;
  /** Of the first byte after the padded data. */
  endOffset: number;
  /** The member may be copied as it is: one plain header block that any tar reads as this entry. */
  plain?: true;
  /** A parent directory that no layer has a member for: the offsets are all 0. */
  synthesized?: true;
}

export interface SparseSegment {
  /** Logical position in the file, bytes. */
  offset: number;
  /** Bytes of data there. */
  length: number;
}

export interface Layer {
  index: number;
  /** Digest and size of the blob as it came (compressed or not). */
  descriptor: Descriptor;
  /** Digest of the uncompressed tar. */
  diffId: Digest;
  /** Bytes of the uncompressed tar. */
  size: number;
  /** Bytes of the compressed blob; undefined where the source kept the layer uncompressed (an engine, an archive). */
  compressedSize?: number;
  /** The uncompressed tar on this machine, inside the workspace. */
  file: string;
  /** The blob as it came, where that is a file of its own (not to be written to). */
  blob?: string;
  /** In tar order, duplicates and whiteouts included. */
  entries: Entry[];
}

/** One path of the merged tree. */
export interface Node {
  path: ImagePath;
  kind: 'file' | 'dir' | 'symlink' | 'char' | 'block' | 'fifo';
  /** The member that made this path visible; for a hardlink this is the link member itself. */
  entry: Entry;
  /** The member that holds mode, owner, xattrs and data: differs from `entry` for a hardlink. */
  inode: Entry;
  /** Names of the children of a directory, sorted by code unit. */
  children?: Map<string, Node>;
  /** All paths of this inode in the merged tree, itself included, where there is more than one. */
  links?: readonly ImagePath[];
}

/** The merged tree of an image: every layer applied in order. */
export interface Tree {
  root: Node;
  /** The node at exactly `path` (no symlink followed), or undefined. */
  get(path: ImagePath): Node | undefined;
  /** Every node but the root, parents before children, siblings in code-unit order. */
  nodes(): Iterable<Node>;
  /** Number of nodes but the root. */
  readonly size: number;
  /**
   * Follow `path` as the kernel would, symlinks included (at most 40).
   * Returns the node (undefined if something is missing) and every symlink stepped through.
   */
  resolve(path: ImagePath, options?: { followLast?: boolean }): { node?: Node; links: Node[] };
}

/** A whole image on this machine: metadata, uncompressed layers and the merged tree. */
export interface Image {
  /** The reference as the user gave it. */
  reference: string;
  platform: Platform;
  manifest: Document<ImageManifest>;
  config: Document<ImageConfig>;
  layers: Layer[];
  tree: Tree;
  /** The logical bytes of a regular file (holes as zeros); for small files. */
  read(node: Node): Promise<Buffer>;
  /** At most `length` logical bytes of a regular file from `offset` on; fewer at its end. */
  readRange(node: Node, offset: number, length: number): Promise<Buffer>;
  /** Close the files that reading opened. Safe to call twice; reading afterwards opens them again. */
  close?(): void;
}
