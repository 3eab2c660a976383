import { open } from 'node:fs/promises';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import type { Workspace } from '../../analyzer/workspace/workspace.js';
import { runTool } from '../run-tool.js';
import type { OverlayFormat } from '../types.js';
import { overlayWriters } from './writers.js';

// Where each file system has its magic number.
const magics: Record<OverlayFormat, { offset: number; bytes: Buffer }> = {
  squashfs: { offset: 0, bytes: Buffer.from('hsqs') },
  ext4: { offset: 1024 + 56, bytes: Buffer.from([0x53, 0xef]) },
  erofs: { offset: 1024, bytes: Buffer.from([0xe2, 0xe1, 0xf5, 0xe0]) },
};

/** What file system the overlay `file` is. Throws a DebloatError if it cannot be read or is none. */
export async function overlayFormatOf(file: string): Promise<OverlayFormat> {
  const head = Buffer.alloc(2048);
  try {
    const handle = await open(file);
    try {
      await handle.read(head, 0, head.length, 0);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new DebloatError(`the overlay ${file} cannot be read: ${messageOf(error)}`, {
      hint: 'give the overlay file that `debloat build` wrote for this image',
      cause: error,
    });
  }
  for (const [format, { offset, bytes }] of Object.entries(magics)) {
    const found = head.subarray(offset, offset + bytes.length);
    if (found.equals(bytes)) return format as OverlayFormat;
  }
  throw new DebloatError(`${file} is no overlay: it is neither squashfs, ext4 nor erofs`, {
    hint: 'give the overlay file that `debloat build` wrote for this image',
  });
}

/**
 * Unpack the overlay `file` into a directory of the workspace, which is returned. Bytes of regular
 * files are exact; owners, modes and devices need not be (the recipes hold those).
 */
export async function unpackOverlay(
  file: string,
  workspace: Workspace,
  signal?: AbortSignal,
): Promise<string> {
  const writer = overlayWriters[await overlayFormatOf(file)];
  const dir = await workspace.directory('unpacked');
  await writer.unpack(file, dir, { workspace, signal });
  if (process.getuid?.() !== 0) {
    // files that nobody may read are among them
    await runTool('chmod', ['-R', 'u+rwX', dir], { workspace, signal, makes: dir });
  }
  return dir;
}
