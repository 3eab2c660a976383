import type { Descriptor, Document, ImageConfig, ImageManifest } from '../image/types.js';
import type { StoredFile } from './file-set.js';

/** A layer as it came, on this machine. */
export interface LayerBlob extends StoredFile {
  descriptor: Descriptor;
}

/** An image whose bytes are on this machine, layers not yet looked into. */
export interface Acquired {
  manifest: Document<ImageManifest>;
  config: Document<ImageConfig>;
  /** Base first. */
  blobs: LayerBlob[];
}

/** How bringing an image here goes on; bytes so far and, where known, in total. */
export interface AcquireProgress {
  /** `fetch`: the image comes from an engine, registry or archive; `unpack`: its layers are decompressed, checked and indexed. */
  stage: 'fetch' | 'unpack';
  bytes: number;
  total?: number;
}

export interface AcquireContext {
  /** A directory of the workspace. */
  dir: string;
  progress?: ((progress: AcquireProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}
