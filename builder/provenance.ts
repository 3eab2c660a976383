import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Image } from '../analyzer/image/types.js';
import type { Overlay } from './types.js';

/** Annotations of the debloated manifest; the same keys are labels in its config (docs/overlay-format.md). */
export const provenanceKeys = {
  sourceReference: 'dev.debloat.source.reference',
  sourceDigest: 'dev.debloat.source.digest',
  sourceConfig: 'dev.debloat.source.config',
  overlayDigest: 'dev.debloat.overlay.digest',
  overlayFormat: 'dev.debloat.overlay.format',
  overlaySize: 'dev.debloat.overlay.size',
  version: 'dev.debloat.version',
} as const;

/** What the debloated image says about where it comes from and which overlay completes it. */
export function provenanceOf(image: Image, overlay: Overlay): Record<string, string> {
  return {
    [provenanceKeys.sourceReference]: portableReference(image.reference),
    [provenanceKeys.sourceDigest]: image.manifest.digest,
    [provenanceKeys.sourceConfig]: image.config.digest,
    [provenanceKeys.overlayDigest]: overlay.digest,
    [provenanceKeys.overlayFormat]: overlay.format,
    [provenanceKeys.overlaySize]: String(overlay.size),
    [provenanceKeys.version]: toolVersion(),
  };
}

/**
 * `reference` without the directories of this machine: they are nobody's business and would make
 * the digest differ between machines.
 */
export function portableReference(reference: string): string {
  const match = /^(oci|oci-archive|docker-archive|dir):([^:]*)(.*)$/s.exec(reference);
  if (!match) return reference;
  const [, scheme = '', path = '', tag = ''] = match;
  return `${scheme}:${basename(path)}${tag}`;
}

/** Version of this package. */
export function toolVersion(): string {
  const require = createRequire(import.meta.url);
  // beside the sources, or one level further up from dist/
  for (const path of ['../package.json', '../../package.json']) {
    const file = fileURLToPath(new URL(path, import.meta.url));
    if (existsSync(file)) return (require(file) as { version: string }).version;
  }
  return '0.0.0';
}
