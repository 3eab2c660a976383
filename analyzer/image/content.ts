import type { Entry } from './types.js';

/** A run of a file's logical bytes: stored at `position` of the layer's tar, or a hole of zeros. */
export type Extent = { length: number; position: number } | { length: number; position: undefined };

/** The extents of a regular file's logical bytes from `offset` on, `length` of them at most. */
export function* extents(
  file: Entry,
  offset = 0,
  length = file.size - offset,
): Generator<Extent, void, undefined> {
  const end = Math.min(file.size, offset + length);
  let at = offset;
  let position = file.dataOffset;
  for (const segment of file.sparse ?? [{ offset: 0, length: file.size }]) {
    const segmentEnd = segment.offset + segment.length;
    if (segmentEnd > at) {
      if (at >= end) return;
      if (segment.offset > at) {
        const hole = Math.min(end, segment.offset) - at;
        yield { length: hole, position: undefined };
        at += hole;
      }
      const data = Math.min(end, segmentEnd) - at;
      if (data > 0) yield { length: data, position: position + (at - segment.offset) };
      at += Math.max(0, data);
    }
    position += segment.length;
  }
  if (at < end) yield { length: end - at, position: undefined };
}
