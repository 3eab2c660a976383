import { expect, it } from 'vitest';
import { fuzzMessages } from '../support/message-fuzzer.js';
import { fuzzQueues } from '../support/queue-fuzzer.js';

// Another seed each day, and the same all day: what fails can be run again.
const seed = Math.floor(Date.now() / 86_400_000) * 2_000_000;

it('a million random queues and client connections leave the block server within the rules', () => {
  const queues = fuzzQueues(seed, 900_000);
  const messages = fuzzMessages(seed, 100_000);
  console.log(`seed ${seed}:`, queues, messages);
  expect(queues.violations).toBeGreaterThan(90_000);
  expect(queues.answered).toBeGreaterThan(450_000);
  expect(messages.handled).toBeGreaterThan(150_000);
});
