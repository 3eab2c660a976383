import { existsSync } from 'node:fs';
import { expect } from 'vitest';
import { runCli, type CliOptions, type CliResult } from './cli.js';
import { expectNothingLeft, snapshotMachine } from './leaks.js';

/**
 * Run the tool on bad input: it must give one sentence that matches `sentence`, the right exit code
 * and nothing on stdout, and leave nothing behind, nor anything at `outputDir`.
 */
export async function expectRefusal(
  args: string[],
  sentence: RegExp,
  options: CliOptions & { outputDir?: string; exitCode?: number } = {},
): Promise<CliResult> {
  const before = await snapshotMachine();
  const result = await runCli(args, options);
  const errors = result.stderr.split('\n').filter((line) => line.startsWith('error:'));
  expect(result.stderr).toMatch(sentence);
  expect(errors).toHaveLength(1);
  expect(result.stderr).not.toMatch(/unexpected failure|^\s+at .*:\d+:\d+/m);
  expect(result.code).toBe(options.exitCode ?? 1);
  expect(result.stdout).toBe('');
  await expectNothingLeft(before);
  if (options.outputDir !== undefined) expect(existsSync(options.outputDir)).toBe(false);
  return result;
}
