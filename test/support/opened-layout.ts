import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { mediaTypes } from '../../analyzer/image/manifest.js';
import type { Image } from '../../analyzer/image/types.js';
import { openImage, type OpenOptions } from '../../analyzer/transport/open-image.js';
import { Workspace } from '../../analyzer/workspace/workspace.js';
import { temporaryDirectory } from './image-of-bytes.js';
import { LayoutWriter, type LayoutLayer } from './oci-layout.js';
import { archive, member } from './raw-tar.js';

export const tar = archive(
  member({ name: 'hello', data: 'world' }),
  member({ name: 'zeros', data: Buffer.alloc(200_000) }),
);
export const gzipped = gzipSync(tar);
export const gzipType = `${mediaTypes.ociLayer}+gzip`;

export function layout(): LayoutWriter {
  return new LayoutWriter(join(temporaryDirectory(), 'layout'));
}

export async function open<T>(
  reference: string,
  use: (image: Image) => Promise<T> | T,
  options: Partial<OpenOptions> = {},
): Promise<T> {
  await using workspace = await Workspace.create(temporaryDirectory());
  const image = await openImage(reference, { workspace, ...options });
  try {
    return await use(image);
  } finally {
    image.close?.();
  }
}

export async function hello(image: Image): Promise<string> {
  const node = image.tree.get('/hello');
  return node ? (await image.read(node)).toString() : 'there is no /hello';
}

/** The reference of a layout with one image of these layers. */
export function imageOf(...layers: LayoutLayer[]): string {
  const writer = layout();
  writer.index([writer.image(layers)]);
  return `oci:${writer.dir}`;
}

export function through(program: string, bytes: Buffer): Buffer {
  return execFileSync(program, ['-c'], { input: bytes });
}
