import type { Command } from 'commander';
import { DebloatError, ExitCode } from '../analyzer/errors.js';

const meanings: Partial<Record<string, boolean>> = {
  ...{ '1': true, true: true, yes: true, on: true },
  ...{ '0': false, false: false, no: false, off: false },
};

/**
 * Give options without a value what their DEBLOAT_* variable says. Commander takes the mere presence
 * of a variable for the option: DEBLOAT_SQUASH=0 would squash, DEBLOAT_VERIFY=1 not verify. An empty
 * variable counts as none. Throws a DebloatError for a value that is neither yes nor no.
 */
export function applySwitches(command: Command, env: NodeJS.ProcessEnv = process.env): void {
  for (const option of command.options) {
    const key = option.attributeName();
    if (option.required || option.optional || option.envVar === undefined) continue;
    if (command.getOptionValueSource(key) !== 'env') continue;
    const text = env[option.envVar]?.trim() ?? '';
    if (text === '') {
      command.setOptionValueWithSource(key, option.negate ? true : undefined, 'default');
      continue;
    }
    const value = meanings[text.toLowerCase()];
    if (value === undefined) {
      throw new DebloatError(`${option.envVar}=${text} is neither yes nor no`, {
        hint: 'set it to 1 or 0, or leave it out',
        exitCode: ExitCode.usage,
      });
    }
    command.setOptionValueWithSource(key, value, 'env');
  }
}
