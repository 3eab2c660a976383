import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { inParallel, outcomeOf, table } from './attach-all.js';

it('does a bounded number of things at a time, and keeps their order', async () => {
  let busy = 0;
  let most = 0;
  const results = await inParallel([30, 1, 20, 1, 10], 2, async (ms) => {
    most = Math.max(most, ++busy);
    await sleep(ms);
    busy--;
    return ms * 2;
  });
  expect(results).toEqual([60, 2, 40, 2, 20]);
  expect(most).toBe(2);
});

it('waits for what is under way before it fails', async () => {
  let ended = false;
  const work = inParallel([1, 0], 2, async (n) => {
    if (n === 0) throw new Error('no');
    await sleep(20);
    ended = true;
  });
  await expect(work).rejects.toThrow('no');
  expect(ended).toBe(true);
});

it('makes one row of each target', () => {
  const good =
    '{"target":"x","overlay":"sha256:0123456789abcdef","code":0,"stdout":"one\\ntwo\\n","stderr":"","milliseconds":{"total":12.4}}';
  const outcomes = [
    outcomeOf('qemu://1', good),
    outcomeOf('docker://a', '{"code":3,"stdout":"","stderr":"bad\\n"}'),
    outcomeOf('qemu://2', '{"error":{"message":"no way in","exitCode":1}}'),
    outcomeOf('qemu://3', ''),
  ];
  expect(table(outcomes).split('\n').slice(0, 4)).toEqual([
    'TARGET      CODE  READY MS  OVERLAY       RESULT',
    'qemu://1    0     12        0123456789ab  one',
    'docker://a  3     -         -             bad',
    'qemu://2    -     -         -             no way in',
  ]);
  expect(table(outcomes)).toContain('it ended without a result');
});
