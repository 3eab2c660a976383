import { InvalidArgumentError } from 'commander';
import { expect, test } from 'vitest';
import { guestContainer } from './guest-container.js';

test.each([
  ['4242', 4242],
  ['web', 'web'],
  ['1a2b', '1a2b'],
  ['a_b.c-d', 'a_b.c-d'],
  ['a'.repeat(128), 'a'.repeat(128)],
])('%s is a container of the guest', (text, container) => {
  expect(guestContainer(text)).toBe(container);
});

test.each(['', '0', '99999999999', '-x', '.x', 'a b', 'a/b', 'a"', 'a\n', 'a'.repeat(129)])(
  '%j is none',
  (text) => {
    expect(() => guestContainer(text)).toThrow(InvalidArgumentError);
  },
);
