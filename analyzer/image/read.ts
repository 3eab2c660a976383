import { Readable } from 'node:stream';
import { DebloatError } from '../errors.js';
import { extents } from './content.js';
import { PositionedFiles } from './positioned-files.js';
import type { Entry, Image, Layer, Node } from './types.js';

const maximumWhole = 512 * 1024 * 1024;
const chunkSize = 256 * 1024;

/** Reads files of an image out of its layers' tars, by position. */
export class ContentReader implements Required<Pick<Image, 'read' | 'readRange' | 'close'>> {
  readonly #layers: readonly Layer[];
  readonly #files = new PositionedFiles();

  constructor(layers: readonly Layer[]) {
    this.#layers = layers;
  }

  async read(node: Node): Promise<Buffer> {
    const file = regularFile(node);
    if (file.size > maximumWhole) {
      throw new DebloatError(`${node.path} is too large to be read at once (${file.size} bytes)`);
    }
    return this.readRange(node, 0, file.size);
  }

  async readRange(node: Node, offset: number, length: number): Promise<Buffer> {
    const file = regularFile(node);
    const size = Math.max(0, Math.min(length, file.size - offset));
    const bytes = Buffer.allocUnsafe(size);
    let at = 0;
    for (const { position, length: run } of extents(file, offset, size)) {
      const part = bytes.subarray(at, at + run);
      if (position === undefined) part.fill(0);
      else await this.#files.readInto(this.#fileOf(file), part, position);
      at += run;
    }
    return bytes;
  }

  close(): void {
    this.#files.close();
  }

  #fileOf(entry: Entry): string {
    const layer = this.#layers[entry.layer];
    if (!layer) throw new RangeError(`there is no layer ${entry.layer}`);
    return layer.file;
  }
}

/** The logical bytes of a regular file of any size. */
export function contentStream(image: Pick<Image, 'readRange'>, node: Node): Readable {
  return Readable.from(chunks(image, node), { objectMode: false, highWaterMark: chunkSize });
}

async function* chunks(image: Pick<Image, 'readRange'>, node: Node): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < regularFile(node).size; offset += chunkSize) {
    yield await image.readRange(node, offset, chunkSize);
  }
}

function regularFile(node: Node): Entry {
  if (node.kind !== 'file') throw new TypeError(`${node.path} is a ${node.kind}, not a file`);
  return node.inode;
}
