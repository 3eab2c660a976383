import { expect, it } from 'vitest';
import { runCli } from '../support/cli.js';

/** What a newcomer gets wrong before anything runs: one sentence, and what to do. */

// One more than the most processes that Linux has (proc(5), pid_max).
it.each(['container://4194304', 'qemu://4194304', '4194304'])(
  'says that %s is no process',
  async (target) => {
    const { code, stderr } = await runCli(['attach', target, '--', 'true']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: There is no process 4194304\.\n hint: .*`debloat targets`/);
  },
);

it('says where the command goes, when -- was forgotten', async () => {
  const { code, stderr } = await runCli(['attach', 'docker://web', 'bash', '-c', 'true']);
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining('what is run there, and its options, come after --') as string,
  ]);
});

it('wants a whole path to start in', async () => {
  const { code, stderr } = await runCli(['attach', 'docker://web', '--cwd', 'etc', '--', 'true']);
  expect([code, stderr]).toEqual([2, 'error: --cwd wants a whole path, from / on, not "etc"']);
});
