import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { fuzzMessages } from '../../test/support/message-fuzzer.js';
import { fuzzQueues } from '../../test/support/queue-fuzzer.js';

it('stays within the rules on random queues', () => {
  const { violations, answered, failed } = fuzzQueues(1, 20_000);
  expect(violations).toBeGreaterThan(1_500);
  expect(answered).toBeGreaterThan(10_000);
  expect(failed).toBeGreaterThan(1_000);
});

it('refuses what it must of random messages, and leaks no descriptor', () => {
  const open = () => readdirSync('/proc/self/fd').length;
  fuzzMessages(1, 1);
  const before = open();
  const { handled, refused } = fuzzMessages(1, 1_000);
  expect(handled).toBeGreaterThan(1_500);
  expect(refused).toBeGreaterThan(500);
  expect(open()).toBe(before);
});
