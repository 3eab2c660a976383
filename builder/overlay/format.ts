import type { ImagePath } from '../../analyzer/image/path.js';
import type { Entry } from '../../analyzer/image/types.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';

/** What an overlay writer gets. */
export interface OverlaySource {
  /** The overlay as a tar stream; the root directory is its first member. */
  tar: AsyncIterable<Buffer>;
  /** The members with extended attributes, for tools that cannot take them from the tar. */
  attributed: readonly { path: ImagePath; xattrs: ReadonlyMap<string, Buffer> }[];
  /** Metadata of the root directory, for tools that ignore it in a tar. */
  root: Entry;
  /** Of the file system; derived from the source image, so that it is the same in every run. */
  uuid: string;
  /** Where to write. */
  file: string;
  /** What it is called in errors: "the overlay /out/overlay.squashfs". */
  makes: string;
  workspace: Workspace;
  signal?: AbortSignal | undefined;
  /** Whether it will be mounted to be written to, as the root disk of a virtual machine is. */
  writable?: boolean;
  /** An upper bound of what the file system must hold. */
  capacity: { bytes: number; inodes: number };
}

/** One file system format: how to make an overlay file and how to unpack it again. */
export interface OverlayWriter {
  /** Whether the tool reads this sparse file from a tar. */
  readsSparse(entry: Entry): boolean;
  /** Write the file system; the same tar gives the same bytes. */
  write(source: OverlaySource): Promise<void>;
  /** Unpack regular files of the overlay below `dir`; metadata need not be exact. */
  unpack(
    file: string,
    dir: string,
    options: { workspace: Workspace; signal?: AbortSignal | undefined },
  ): Promise<void>;
}
