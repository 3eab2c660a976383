import { copyFile, constants, link } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import type { Descriptor, ImageManifest } from '../../analyzer/image/types.js';
import { mediaTypes, OciLayout } from '../oci-layout.js';
import type { BuiltImage, Overlay } from '../types.js';

/** Artifact type of an overlay (OCI image spec, "Guidelines for Artifact Usage"). */
export const overlayArtifactType = 'application/vnd.debloat.overlay.v1';

/** Media type of the overlay's one layer: the file system as it is. */
export function overlayMediaType(format: Overlay['format']): string {
  return `application/vnd.debloat.overlay.${format}`;
}

/** Riders of an image are listed with this platform, so that nobody takes them for an image. */
const noPlatform = { os: 'unknown', architecture: 'unknown' };

/** Put `overlay` into `layout` as an artifact that refers to the image; returns its index entry. */
export async function putOverlayArtifact(
  layout: OciLayout,
  built: BuiltImage,
  overlay: Overlay,
): Promise<Descriptor> {
  const config = await layout.put(Buffer.from('{}'), mediaTypes.empty);
  await shareFile(overlay.file, layout.blob(overlay.digest));
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: overlayArtifactType,
    config,
    layers: [
      {
        mediaType: overlayMediaType(overlay.format),
        digest: overlay.digest,
        size: overlay.size,
        annotations: { 'org.opencontainers.image.title': `overlay.${overlay.format}` },
      },
    ],
    subject: {
      mediaType: mediaTypes.manifest,
      digest: built.manifest.digest,
      size: built.manifest.bytes.length,
    },
  };
  const descriptor = await layout.put(Buffer.from(JSON.stringify(manifest)), mediaTypes.manifest);
  return { ...descriptor, artifactType: overlayArtifactType, platform: noPlatform };
}

/** Have the bytes of `from` at `to` as well: a hard link where the file system allows, else a copy. */
export async function shareFile(from: string, to: string): Promise<void> {
  if (existsSync(to)) return;
  try {
    await link(from, to);
  } catch {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
}
