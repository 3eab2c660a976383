import { describe, expect, it } from 'vitest';
import { baseName, joinPath, normalizePath, parentOf, pathFromBytes, pathToBytes } from './path.js';

describe('names as bytes', () => {
  it.each([
    ['ASCII', [0x2f, 0x61]],
    ['UTF-8', [...Buffer.from('/ä/日/😀')]],
    ['Latin-1', [0x2f, 0x66, 0xfc, 0x72]],
    ['a truncated sequence', [0xe2, 0x82]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a surrogate written as UTF-8 (CESU)', [0xed, 0xb2, 0x80]],
    ['beyond U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
    ['a byte order mark', [0xef, 0xbb, 0xbf, 0x61]],
    ['all bytes', Array.from({ length: 255 }, (_, i) => i + 1)],
  ])('round-trip %s', (_, bytes) => {
    const text = pathFromBytes(Buffer.from(bytes));
    expect([...pathToBytes(text)]).toEqual(bytes);
  });

  it('round-trip random bytes, also through JSON', () => {
    let seed = 42;
    const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >>> 8;
    for (let round = 0; round < 2000; round++) {
      const bytes = Buffer.from(Array.from({ length: random() % 12 }, () => random() & 0xff));
      const text = pathFromBytes(bytes);
      expect(pathToBytes(JSON.parse(JSON.stringify(text)) as string)).toEqual(bytes);
    }
  });

  it('give different strings for different bytes', () => {
    const names = ['fü', 'f\udcc3\udcbc'].map(pathToBytes);
    expect(names[0]).toEqual(names[1]); // the escaped form of valid UTF-8 is never produced
    expect(pathFromBytes(names[1] ?? Buffer.alloc(0))).toBe('fü');
  });
});

describe('paths', () => {
  it.each([
    ['/', '/', ''],
    ['/a', '/', 'a'],
    ['/a/b', '/a', 'b'],
  ])('take %s apart', (path, parent, name) => {
    expect(parentOf(path)).toBe(parent);
    expect(baseName(path)).toBe(name);
    if (name !== '') expect(joinPath(parent, name)).toBe(path);
  });

  it.each([
    ['', '/x', '/x'],
    ['a', '/x', '/x/a'],
    ['../a', '/x/y', '/x/a'],
    ['../../../..', '/x', '/'],
    ['/a//b/./c/..', '/x', '/a/b'],
    ['.', '/', '/'],
  ])('normalise %j from %s', (path, from, expected) => {
    expect(normalizePath(path, from)).toBe(expected);
  });
});
