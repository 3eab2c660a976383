import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readPieces, type Piece } from './pieces.js';

let dir: string;
let file: string;
const content = Buffer.from(Array.from({ length: 2_000_000 }, (_, i) => (i * 7 + (i >> 9)) & 255));

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pieces-'));
  file = join(dir, 'content');
  writeFileSync(file, content);
});

afterAll(() => rmSync(dir, { recursive: true }));

async function collect(pieces: Piece[]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of readPieces(pieces)) {
    expect(chunk.length).toBeLessThanOrEqual(256 * 1024);
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}

test('bytes, ranges and zeros follow one another, whatever their sizes', async () => {
  const pieces: Piece[] = [
    { bytes: Buffer.from('head') },
    { file, offset: 10, length: 90 },
    { file, offset: 100, length: 1_500_000 },
    { zeros: 700_000 },
    { file, offset: 5, length: 0 },
    { bytes: Buffer.alloc(600_000, 1) },
    { file: Buffer.from(file), offset: 1_999_990, length: 10 },
  ];
  const expected = Buffer.concat([
    Buffer.from('head'),
    content.subarray(10, 1_500_100),
    Buffer.alloc(700_000),
    Buffer.alloc(600_000, 1),
    content.subarray(1_999_990),
  ]);
  expect((await collect(pieces)).equals(expected)).toBe(true);
});

test('more files than may be open at once', async () => {
  const pieces = Array.from({ length: 100 }, (_, i): Piece => {
    const name = join(dir, `small-${i}`);
    writeFileSync(name, `${i}\n`);
    return { file: name, offset: 0, length: `${i}\n`.length };
  });
  const text = (await collect([...pieces, ...pieces])).toString();
  const once = Array.from({ length: 100 }, (_, i) => `${i}\n`).join('');
  expect(text).toBe(once + once);
});

test('a file that is too short, and a symlink, are refused', async () => {
  await expect(collect([{ file, offset: 1_999_999, length: 2 }])).rejects.toThrow(/shorter than/);
  const link = join(dir, 'link');
  symlinkSync(file, link);
  await expect(collect([{ file: link, offset: 0, length: 1 }])).rejects.toThrow(/ELOOP/);
});
