import { setImmediate as nextTurn } from 'node:timers/promises';
import { open } from 'node:fs/promises';
import { FileSource } from './byte-source.js';
import { indexTar } from './tar.js';
import type { Entry } from './types.js';

const entriesPerTurn = 4000;

/**
 * Index the uncompressed layer tar in `file`.
 * @param layer as of {@link indexTar}.
 */
export async function indexLayer(
  file: string,
  layer: { index: number; name: string },
  signal?: AbortSignal,
): Promise<Entry[]> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const entries: Entry[] = [];
    for (const entry of indexTar(new FileSource(handle.fd, size), layer)) {
      entries.push(entry);
      if (entries.length % entriesPerTurn === 0) {
        signal?.throwIfAborted();
        await nextTurn(); // leave room for progress and Ctrl-C
      }
    }
    return entries;
  } finally {
    await handle.close();
  }
}
