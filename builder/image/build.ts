import { digestOf } from '../../analyzer/image/digest.js';
import type { Digest, Document, Image, ImageManifest } from '../../analyzer/image/types.js';
import type { KeepSet, Rewrite } from '../../analyzer/keep/types.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import { select } from '../layers/selection.js';
import { writeLayers } from '../layers/write-layers.js';
import { mediaTypes, OciLayout } from '../oci-layout.js';
import type { BuiltImage, Compression, DebloatedImage } from '../types.js';
import { debloatedConfig } from './config.js';

export interface BuildImageOptions {
  image: Image;
  keepSet: KeepSet;
  rewrites?: readonly Rewrite[];
  /** One layer instead of one per source layer. */
  squash?: boolean;
  compression?: Compression;
  /** Annotations of the manifest, and labels of the config too, which a Docker engine keeps. */
  annotations: Record<string, string> | Promise<Record<string, string>>;
  workspace: Workspace;
  signal?: AbortSignal | undefined;
  /** Uncompressed bytes of layers written so far. */
  onProgress?: ((bytes: number) => void) | undefined;
  /** Called with the digests of the target layers' tars as soon as they are known. */
  onLayers?: ((diffIds: Digest[]) => void) | undefined;
}

/**
 * Write the debloated image as an OCI layout in the workspace: layers filtered one by one (or
 * squashed), the config with all its fields. The same input gives the same digests.
 */
export async function buildImage(options: BuildImageOptions): Promise<DebloatedImage> {
  const { image, workspace, squash = false, compression = 'gzip' } = options;
  Promise.resolve(options.annotations).catch(() => undefined); // it is awaited late
  const layout = await OciLayout.openOrCreate(await workspace.directory('debloated'));
  let bytes = 0;
  const layers = await writeLayers({
    image,
    selection: select(image, options.keepSet, options.rewrites ?? []),
    squash,
    compression,
    layout,
    signal: options.signal,
    onBytes: (count) => options.onProgress?.((bytes += count)),
  });
  const diffIds = layers.map((layer) => layer.diffId);
  options.onLayers?.(diffIds);
  const annotations = await options.annotations;

  const config = await storeDocument(
    layout,
    debloatedConfig(image, diffIds, annotations, squash),
    mediaTypes.config,
  );
  const manifestValue: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, digest: config.digest, size: config.bytes.length },
    layers: layers.map((layer) => layer.descriptor),
    annotations: { ...image.manifest.value.annotations, ...annotations },
  };
  const manifest = await storeDocument(
    layout,
    Buffer.from(JSON.stringify(manifestValue)),
    mediaTypes.manifest,
  );
  await layout.tag({
    mediaType: mediaTypes.manifest,
    digest: manifest.digest,
    size: manifest.bytes.length,
    platform: image.platform,
  });
  return {
    layout: layout.dir,
    manifest: manifest as Document<ImageManifest>,
    config: config as BuiltImage['config'],
    layers,
  };
}

async function storeDocument(
  layout: OciLayout,
  bytes: Buffer,
  mediaType: string,
): Promise<Document<unknown>> {
  await layout.put(bytes, mediaType);
  return {
    bytes,
    digest: digestOf(bytes),
    mediaType,
    value: JSON.parse(bytes.toString('utf8')) as unknown,
  };
}
