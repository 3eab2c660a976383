import { z } from 'zod';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { isDigest } from '../../analyzer/image/digest.js';
import type { Digest } from '../../analyzer/image/types.js';

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value));
const count = z.number().int().nonnegative();

const schema = z.object({
  format: z.literal(1),
  source: z.object({
    reference: z.string(),
    manifest: z.object({ mediaType: z.string(), digest }),
    config: z.object({ mediaType: z.string(), digest }),
    layers: z.array(
      z.object({
        diffId: digest,
        /** Bytes of the uncompressed tar. */
        size: count,
        /** Of the blob as it came. */
        mediaType: z.string(),
      }),
    ),
  }),
  debloated: z.object({ diffIds: z.array(digest) }),
  /** Paths of files that the debloated image has with other content. */
  rewritten: z.array(z.string()),
  /** Number of files under hidden/. */
  hidden: count,
});

/** The content of `/.debloat/overlay.json` (docs/overlay-format.md). */
export type OverlayMetadata = z.infer<typeof schema>;

/** Names below {@link metadataPath} in an overlay. */
export const metadataFiles = {
  overlay: 'overlay.json',
  manifest: 'manifest.json',
  config: 'config.json',
  recipe: (layer: number): string => `layers/${layer}.recipe`,
  hidden: (index: number): string => `hidden/${Math.floor(index / 1000)}/${index}`,
} as const;

/** Read back `overlay.json`. Throws a DebloatError if it is of a newer format or damaged. */
export function parseOverlayMetadata(text: string, file: string): OverlayMetadata {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new DebloatError(`the metadata of the overlay ${file} is damaged: ${messageOf(error)}`);
  }
  const format = (value as { format?: unknown } | null)?.format;
  if (typeof format === 'number' && format > 1) {
    throw new DebloatError(
      `the overlay ${file} has format ${format}, this version reads format 1`,
      {
        hint: 'use a newer debloat',
      },
    );
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new DebloatError(
      `the metadata of the overlay ${file} is damaged: ${parsed.error.issues[0]?.message ?? ''}`,
    );
  }
  return parsed.data;
}
