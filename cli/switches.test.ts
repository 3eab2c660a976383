import { afterEach, describe, expect, it, vi } from 'vitest';
import { Command } from 'commander';
import { option } from './options.js';
import { applySwitches } from './switches.js';

afterEach(() => {
  vi.unstubAllEnvs();
});

/** The options of a command line given with these variables set. */
function parsed(env: Record<string, string>, ...args: string[]): Record<string, unknown> {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  const command = new Command('build')
    .addOption(option('--squash', ''))
    .addOption(option('--no-verify', ''))
    .parse(args, { from: 'user' });
  applySwitches(command);
  return command.opts();
}

describe('applySwitches', () => {
  it('turns an option off that a variable denies', () => {
    expect(parsed({ DEBLOAT_SQUASH: '0', DEBLOAT_VERIFY: '1' })).toEqual({
      squash: false,
      verify: true,
    });
  });

  it('turns it on or off as the variable says', () => {
    expect(parsed({ DEBLOAT_SQUASH: 'True', DEBLOAT_VERIFY: 'no' })).toEqual({
      squash: true,
      verify: false,
    });
  });

  it('takes an empty variable for none', () => {
    expect(parsed({ DEBLOAT_SQUASH: '', DEBLOAT_VERIFY: '' })).toEqual({ verify: true });
  });

  it('lets the command line win', () => {
    expect(parsed({ DEBLOAT_SQUASH: '0', DEBLOAT_VERIFY: '1' }, '--squash', '--no-verify')).toEqual(
      { squash: true, verify: false },
    );
  });

  it('refuses what is neither', () => {
    expect(() => parsed({ DEBLOAT_SQUASH: 'maybe' })).toThrow(/DEBLOAT_SQUASH=maybe is neither/);
  });
});
