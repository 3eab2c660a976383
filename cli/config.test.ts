import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Command, Option } from 'commander';
import { DebloatError } from '../analyzer/errors.js';
import { applyConfig } from './config.js';
import { listOption, option, wholeNumber } from './options.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'debloat-config-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** The options of `debloat build` where this is the project's configuration. */
async function configured(yaml: string, ...args: string[]): Promise<Record<string, unknown>> {
  writeFileSync(join(dir, '.debloatrc.yaml'), yaml);
  const build = new Command('build')
    .addOption(option('--policy <policy>', '').choices(['strict', 'safe']).default('safe'))
    .addOption(option('--runs <number>', '').argParser(wholeNumber(1)))
    .addOption(listOption('--http <probe>', ''))
    .addOption(option('--squash', ''))
    .addOption(option('--no-verify', ''))
    .addOption(option('--profile <file>', ''))
    .addOption(new Option('--no-profile', ''));
  const program = new Command('debloat').addCommand(build);
  program.addCommand(new Command('trace').addOption(option('--only-trace', '')));
  build.parse(args, { from: 'user' });
  await applyConfig(build, dir);
  return build.opts();
}

describe('applyConfig', () => {
  it('fills what the command line left, a command’s own section first', async () => {
    const yaml = 'policy: safe\nonlyTrace: true\nbuild: {policy: strict, http: [/, /x], runs: 2}';
    expect(await configured(yaml, '--runs', '3')).toMatchObject({
      policy: 'strict',
      http: ['/', '/x'],
      runs: 3,
    });
  });

  it('takes true and false for options without a value', async () => {
    expect(await configured('{squash: true, verify: false, profile: false}')).toMatchObject({
      squash: true,
      verify: false,
      profile: false,
    });
    expect(await configured('profile: own.json')).toMatchObject({ profile: 'own.json' });
  });

  it.each([
    ['policy: foo', /setting "policy" in .*\.debloatrc\.yaml: Allowed choices are strict, safe/],
    ['runs: abc', /setting "runs" .*must be a whole number/],
    ['squash: maybe', /setting "squash" .*must be true or false/],
    ['policy: true', /setting "policy" .*true is neither a text nor a number/],
    ['http: [{path: /}]', /setting "http" .*\{"path":"\/"\} is neither/],
    ['polcy: strict', /unknown setting "polcy"/],
  ])('says which setting is wrong: %s', async (yaml, message) => {
    const failure: unknown = await configured(yaml).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DebloatError);
    expect(failure).toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(message) as string,
    });
  });
});
