import { pathFromBytes, pathToBytes, type ImagePath } from '../../analyzer/image/path.js';
import { DebloatError } from '../../analyzer/errors.js';

/**
 * One step of rebuilding a layer's tar: bytes as they are, a stretch of the logical content of a
 * file of the original tree, or the content of a hidden file (docs/overlay-format.md).
 */
export type RecipeStep =
  | { kind: 'literal'; bytes: Buffer }
  | { kind: 'tree'; path: ImagePath; offset: number; length: number }
  | { kind: 'hidden'; index: number; length: number };

const magic = Buffer.from('debloat-recipe 1\n');
const opcodes = { end: 0, literal: 1, tree: 2, hidden: 3 } as const;

/** Encode `steps` as bytes, to be compressed by the caller. */
export async function* encodeRecipe(
  steps: Iterable<RecipeStep> | AsyncIterable<RecipeStep>,
): AsyncGenerator<Buffer> {
  yield magic;
  for await (const step of steps) {
    switch (step.kind) {
      case 'literal':
        yield numbers(opcodes.literal, step.bytes.length);
        yield step.bytes;
        break;
      case 'tree': {
        const path = pathToBytes(step.path);
        yield numbers(opcodes.tree, path.length, step.offset, step.length);
        yield path;
        break;
      }
      case 'hidden':
        yield numbers(opcodes.hidden, step.index, step.length);
        break;
    }
  }
  yield numbers(opcodes.end);
}

/** The inverse of {@link encodeRecipe}. Throws a DebloatError if the bytes are damaged. */
export async function* decodeRecipe(bytes: AsyncIterable<Buffer>): AsyncGenerator<RecipeStep> {
  const input = new ByteReader(bytes);
  if (!(await input.bytes(magic.length)).equals(magic)) throw damaged('it has another format');
  for (;;) {
    switch (await input.number()) {
      case opcodes.literal:
        yield { kind: 'literal', bytes: await input.bytes(await input.number()) };
        break;
      case opcodes.tree: {
        const pathLength = await input.number();
        const offset = await input.number();
        const length = await input.number();
        yield {
          kind: 'tree',
          path: pathFromBytes(await input.bytes(pathLength)),
          offset,
          length,
        };
        break;
      }
      case opcodes.hidden:
        yield { kind: 'hidden', index: await input.number(), length: await input.number() };
        break;
      case opcodes.end:
        return;
      default:
        throw damaged('it has an unknown step');
    }
  }
}

/** A literal is split into steps of at most this many bytes. */
export const maximumLiteral = 1024 * 1024;

// LEB128: seven bits a byte, lowest first, top bit set on all but the last.
function numbers(...values: number[]): Buffer {
  const out: number[] = [];
  for (let value of values) {
    while (value > 0x7f) {
      out.push((value % 0x80) | 0x80);
      value = Math.floor(value / 0x80);
    }
    out.push(value);
  }
  return Buffer.from(out);
}

function damaged(why: string): DebloatError {
  return new DebloatError(`the overlay's recipe is damaged: ${why}`, {
    hint: 'fetch the overlay again; its digest is in the debloated image’s labels',
  });
}

/** Bytes and numbers out of a stream of chunks. */
class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(bytes: AsyncIterable<Buffer>) {
    this.#chunks = bytes[Symbol.asyncIterator]();
  }

  async bytes(length: number): Promise<Buffer> {
    if (length > maximumLiteral) throw damaged('a length is out of range');
    if (this.#chunk.length - this.#at < length) {
      const parts = [this.#chunk.subarray(this.#at)];
      let have = this.#chunk.length - this.#at;
      while (have < length) {
        const part = await this.#nextChunk();
        parts.push(part);
        have += part.length;
      }
      this.#chunk = Buffer.concat(parts);
      this.#at = 0;
    }
    this.#at += length;
    return this.#chunk.subarray(this.#at - length, this.#at);
  }

  async number(): Promise<number> {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      while (this.#at >= this.#chunk.length) {
        this.#chunk = await this.#nextChunk();
        this.#at = 0;
      }
      const byte = this.#chunk[this.#at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw damaged('a number is out of range');
      if ((byte & 0x80) === 0) return value;
    }
  }

  async #nextChunk(): Promise<Buffer> {
    const next = await this.#chunks.next();
    if (next.done === true) throw damaged('it ends too early');
    return next.value;
  }
}
