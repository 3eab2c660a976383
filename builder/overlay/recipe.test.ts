import { expect, test } from 'vitest';
import { decodeRecipe, encodeRecipe, type RecipeStep } from './recipe.js';

const steps: RecipeStep[] = [
  { kind: 'literal', bytes: Buffer.from([0, 1, 2, 255]) },
  { kind: 'tree', path: '/usr/lib/\udce9', offset: 0, length: 127 },
  { kind: 'tree', path: '/big', offset: 2 ** 40 + 3, length: 2 ** 33 },
  { kind: 'hidden', index: 128, length: 16384 },
  { kind: 'literal', bytes: Buffer.alloc(0) },
];

async function encode(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of encodeRecipe(steps)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function decode(bytes: Buffer, chunkSize: number): Promise<RecipeStep[]> {
  const decoded: RecipeStep[] = [];
  for await (const step of decodeRecipe(chunked(bytes, chunkSize))) decoded.push(step);
  return decoded;
}

// eslint-disable-next-line @typescript-eslint/require-await
async function* chunked(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test.each([1, 3, 1000])('steps come back from chunks of %i bytes', async (size) => {
  expect(await decode(await encode(), size)).toEqual(steps);
});

test('a recipe cut short at any byte is refused', async () => {
  const bytes = await encode();
  for (let length = 0; length < bytes.length; length++) {
    await expect(decode(bytes.subarray(0, length), 7)).rejects.toThrow(/recipe is damaged/);
  }
});

test('another format, an unknown step and an absurd length are refused', async () => {
  const magic = Buffer.from('debloat-recipe 1\n');
  const after = (...bytes: number[]): Promise<RecipeStep[]> =>
    decode(Buffer.concat([magic, Buffer.from(bytes)]), 100);
  await expect(decode(Buffer.from('debloat-recipe 2\n\0'), 100)).rejects.toThrow(/another format/);
  await expect(after(9)).rejects.toThrow(/unknown step/);
  await expect(after(1, 0xff, 0xff, 0xff, 0x7f)).rejects.toThrow(/out of range/);
});
