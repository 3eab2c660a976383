import type {
  Descriptor,
  Digest,
  Document,
  ImageConfig,
  ImageManifest,
} from '../analyzer/image/types.js';

export const overlayFormats = ['squashfs', 'ext4', 'erofs'] as const;
export type OverlayFormat = (typeof overlayFormats)[number];

/** The overlay image on disk: everything that the debloated image does not have. */
export interface Overlay {
  format: OverlayFormat;
  file: string;
  digest: Digest;
  /** Bytes of the file. */
  size: number;
  /** Regular files, symlinks, … in it (directories left out). */
  files: number;
}

/** A layer as a blob of a layout. */
export interface BuiltLayer {
  descriptor: Descriptor;
  diffId: Digest;
  /** Bytes of the uncompressed tar. */
  size: number;
}

/** An image as an OCI image layout (oci-layout, index.json, blobs/) on disk. */
export interface BuiltImage {
  layout: string;
  manifest: Document<ImageManifest>;
  config: Document<ImageConfig>;
  layers: BuiltLayer[];
}

export interface DebloatedImage extends BuiltImage {
  layers: DebloatedLayer[];
}

export interface DebloatedLayer extends BuiltLayer {
  /** Bytes of its regular files, as an engine counts the size of a layer. */
  content: number;
}

export const compressions = ['gzip', 'zstd', 'none'] as const;
export type Compression = (typeof compressions)[number];
