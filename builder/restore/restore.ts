import { readFile, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { digestOf } from '../../analyzer/image/digest.js';
import type {
  Descriptor,
  Digest,
  Document,
  Image,
  ImageConfig,
  ImageManifest,
} from '../../analyzer/image/types.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import { metadataPath } from '../layers/selection.js';
import { mediaTypes, OciLayout } from '../oci-layout.js';
import { metadataFiles, parseOverlayMetadata, type OverlayMetadata } from '../overlay/metadata.js';
import { unpackOverlay } from '../overlay/unpack.js';
import { provenanceKeys } from '../provenance.js';
import { writeBlob } from '../stream/blob.js';
import { layerMediaTypes } from '../stream/compression.js';
import { readPieces } from '../stream/pieces.js';
import type { BuiltImage, Compression } from '../types.js';
import { rebuildLayer, type RebuildSource } from './rebuild.js';

export interface RestoreOptions {
  debloated: Image;
  overlayFile: string;
  /** Of layers that were compressed in the original; the others stay as they were. */
  compression?: Compression;
  workspace: Workspace;
  signal?: AbortSignal | undefined;
  /** Uncompressed bytes of layers rebuilt so far, and in all. */
  onProgress?: ((bytes: number, total: number) => void) | undefined;
}

/** The original image again, every digest proved. */
export interface RestoredImage extends BuiltImage {
  /** As `debloat build` was given it. */
  sourceReference: string;
  /** Whether the manifest is the original one, too (compressed layers cannot be made again bit by bit). */
  sameManifest: boolean;
}

/**
 * Rebuild the original image from its debloated image and overlay: the config and the tar of every
 * layer are byte for byte the same, which their digests prove.
 * Throws a DebloatError if the two do not belong together or a digest differs; nothing is left then.
 */
export async function restoreImage(options: RestoreOptions): Promise<RestoredImage> {
  const { debloated, overlayFile, workspace, signal, compression = 'gzip' } = options;
  const dir = await unpackOverlay(overlayFile, workspace, signal);
  const read = (name: string): Promise<Buffer> => readFile(join(dir, metadataPath, name));
  const metadata = parseOverlayMetadata(
    (await readMetadata(read, overlayFile)).toString('utf8'),
    overlayFile,
  );
  requireSameImage(debloated, metadata, overlayFile);
  const config = document<ImageConfig>(
    await read(metadataFiles.config),
    metadata.source.config,
    `the config in ${overlayFile}`,
  );
  const manifest = document<ImageManifest>(
    await read(metadataFiles.manifest),
    metadata.source.manifest,
    `the manifest in ${overlayFile}`,
  );

  const layout = await OciLayout.openOrCreate(await workspace.directory('restored'));
  const source = { debloated, overlay: dir, rewritten: new Set(metadata.rewritten) };
  const total = metadata.source.layers.reduce((sum, { size }) => sum + size, 0);
  const layers: BuiltImage['layers'] = [];
  let done = 0;
  for (const [index, { diffId }] of metadata.source.layers.entries()) {
    const wasCompressed = manifest.value.layers[index]?.digest !== diffId;
    const written = await writeLayer(source, index, diffId, {
      layout,
      compression: wasCompressed ? compression : 'none',
      signal,
      onBytes: (count) => options.onProgress?.((done += count), total),
    });
    layers.push(written);
  }
  await rm(dir, { recursive: true, force: true });
  return {
    layout: layout.dir,
    layers,
    config,
    sourceReference: metadata.source.reference,
    ...(await finish(layout, debloated, manifest, config, layers)),
  };
}

async function writeLayer(
  source: RebuildSource,
  index: number,
  expected: Digest,
  options: {
    layout: OciLayout;
    compression: Compression;
    signal: AbortSignal | undefined;
    onBytes: (count: number) => void;
  },
): Promise<BuiltImage['layers'][number]> {
  const { layout, compression, signal, onBytes } = options;
  const partial = join(layout.dir, `layer-${index}.partial`);
  const chunks = readPieces(rebuildLayer(source, index), { signal });
  const { content, blob } = await writeBlob(counted(chunks, onBytes), partial, compression, signal);
  if (content.digest !== expected) {
    throw new DebloatError(
      `layer ${index + 1} does not restore: its digest is ${content.digest} instead of ${expected}`,
      { hint: 'the overlay or the debloated image is damaged: fetch both again' },
    );
  }
  await rename(partial, layout.blob(blob.digest));
  const descriptor = { mediaType: layerMediaTypes[compression], ...blob };
  return { descriptor, diffId: content.digest, size: content.size };
}

/** Config and manifest; the original manifest where all its blobs are there again. */
async function finish(
  layout: OciLayout,
  debloated: Image,
  original: Document<ImageManifest>,
  config: Document<ImageConfig>,
  layers: BuiltImage['layers'],
): Promise<{ manifest: Document<ImageManifest>; sameManifest: boolean }> {
  await layout.put(config.bytes, mediaTypes.config);
  const sameManifest =
    original.mediaType === mediaTypes.manifest &&
    layers.every(({ descriptor }, i) => descriptor.digest === original.value.layers[i]?.digest);
  const value: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, digest: config.digest, size: config.bytes.length },
    layers: layers.map(({ descriptor }) => descriptor),
    ...(original.value.annotations && { annotations: original.value.annotations }),
  };
  const bytes = sameManifest ? original.bytes : Buffer.from(JSON.stringify(value));
  const descriptor: Descriptor = await layout.put(bytes, mediaTypes.manifest);
  await layout.tag({ ...descriptor, platform: debloated.platform });
  return {
    manifest: {
      bytes,
      digest: descriptor.digest,
      mediaType: mediaTypes.manifest,
      value: sameManifest ? original.value : value,
    },
    sameManifest,
  };
}

async function readMetadata(
  read: (name: string) => Promise<Buffer>,
  overlayFile: string,
): Promise<Buffer> {
  try {
    return await read(metadataFiles.overlay);
  } catch (error) {
    throw new DebloatError(`${overlayFile} is no overlay of debloat: ${messageOf(error)}`, {
      hint: 'give the overlay file that `debloat build` wrote for this image',
      cause: error,
    });
  }
}

function requireSameImage(debloated: Image, metadata: OverlayMetadata, file: string): void {
  const now = debloated.layers.map((layer) => layer.diffId);
  const then = metadata.debloated.diffIds;
  if (now.length === then.length && now.every((diffId, i) => diffId === then[i])) return;
  const wanted = debloated.config.value.config?.Labels?.[provenanceKeys.overlayDigest];
  throw new DebloatError(
    `the overlay ${basename(file)} does not belong to ${debloated.reference}: it completes another image, made from ${metadata.source.reference}`,
    {
      hint:
        wanted === undefined
          ? `${debloated.reference} has no label of debloat: is it a debloated image, unchanged?`
          : `the overlay of ${debloated.reference} has the digest ${wanted}`,
    },
  );
}

function document<T>(
  bytes: Buffer,
  expected: { mediaType: string; digest: Digest },
  what: string,
): Document<T> {
  const digest = digestOf(bytes);
  if (digest !== expected.digest) {
    throw new DebloatError(`${what} is damaged: its digest is ${digest}`, {
      hint: 'fetch the overlay again',
    });
  }
  return { bytes, ...expected, value: JSON.parse(bytes.toString('utf8')) as T };
}

async function* counted(
  chunks: AsyncIterable<Buffer>,
  onBytes: (count: number) => void,
): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    onBytes(chunk.length);
    yield chunk;
  }
}
