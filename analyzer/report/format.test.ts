import { describe, expect, it } from 'vitest';
import { bytes, duration, percent, printable, savedFraction, shellWord } from './format.js';

describe('bytes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [9_994, '9.99 kB'],
    [9_996, '10.0 kB'],
    [99_960, '100 kB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [181_234_567, '181 MB'],
    [1_250_000_000, '1.25 GB'],
  ])('shows %i as %s', (value, text) => {
    expect(bytes(value)).toBe(text);
  });
});

it('never overstates savings', () => {
  expect(percent(savedFraction(10_000, 1))).toBe('99.9%');
  expect(percent(savedFraction(10, 0))).toBe('100.0%');
  expect(percent(0.6)).toBe('60.0%');
  expect(percent(savedFraction(100, 103))).toBe('-3.0%');
});

it('shows durations', () => {
  expect([0.04, 12.34, 99.96, 3725].map(duration)).toEqual([
    '0.0 s',
    '12.3 s',
    '1 min 40 s',
    '62 min 05 s',
  ]);
});

it('escapes what would reach the terminal or reorder text', () => {
  expect(printable('caf\udce9 \u001b[31m\u202e\n日本 😀 \ud800')).toBe(
    'caf\\xe9 \\x1b[31m\\u202e\\x0a日本 😀 \\ud800',
  );
});

it('quotes words for a shell', () => {
  expect(['nginx:1', "it's", '', '$(x)'].map(shellWord)).toEqual([
    'nginx:1',
    "'it'\\''s'",
    "''",
    "'$(x)'",
  ]);
});
