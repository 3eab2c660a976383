import type { Digest, HistoryEntry, Image, ImageConfig } from '../../analyzer/image/types.js';

/**
 * The config of the debloated image: the original's with every field kept, other `diff_ids`, and
 * `labels` added. `created` stays, so that the same input gives the same digest.
 */
export function debloatedConfig(
  image: Image,
  diffIds: Digest[],
  labels: Record<string, string>,
  squash: boolean,
): Buffer {
  const original = JSON.parse(image.config.bytes.toString('utf8')) as ImageConfig;
  const config: ImageConfig = {
    ...original,
    config: {
      ...original.config,
      Labels: { ...original.config?.Labels, ...labels },
    },
    rootfs: { ...original.rootfs, diff_ids: diffIds },
  };
  if (squash && original.history) config.history = squashedHistory(original);
  return Buffer.from(JSON.stringify(config));
}

/** The steps of the original stay readable; the one layer belongs to the last entry. */
function squashedHistory(config: ImageConfig): HistoryEntry[] {
  const steps = (config.history ?? []).map((entry) => ({ ...entry, empty_layer: true }));
  const created = typeof config['created'] === 'string' ? { created: config['created'] } : {};
  return [...steps, { ...created, created_by: 'debloat build --squash' }];
}
