import { cosmiconfig } from 'cosmiconfig';
import type { Command, Option } from 'commander';
import { DebloatError, ExitCode, messageOf } from '../analyzer/errors.js';

/**
 * Fill options that neither the command line nor a DEBLOAT_* variable set from the project's
 * configuration (.debloatrc*, debloat.config.*, package.json#debloat). Keys are the long options in
 * camelCase, at the top for every command or below the command's name for that one.
 */
export async function applyConfig(command: Command, from = process.cwd()): Promise<void> {
  const found = await load(from);
  if (!found) return;
  const anywhere = new Set(optionsOfAll(command));
  const { [command.name()]: own, ...shared } = found.values;
  for (const [key, value] of Object.entries({ ...shared, ...asObject(own, found.file) })) {
    const options = command.options.filter((option) => option.attributeName() === key);
    if (options.length === 0) {
      if (anywhere.has(key)) continue; // another command's option or section
      throw new DebloatError(`unknown setting "${key}" in ${found.file}`, {
        exitCode: ExitCode.usage,
      });
    }
    const source = command.getOptionValueSource(key);
    if (source !== undefined && source !== 'default') continue;
    try {
      command.setOptionValueWithSource(key, parseSetting(options, value), 'config');
    } catch (error) {
      throw new DebloatError(`setting "${key}" in ${found.file}: ${messageOf(error)}`, {
        exitCode: ExitCode.usage,
        cause: error,
      });
    }
  }
}

/**
 * What the option would be if `value` stood on the command line; throws if it could not stand there.
 * Of options there are two where one takes a value and the other one denies it (--no-profile).
 */
function parseSetting(options: readonly Option[], value: unknown): unknown {
  const valued = options.find((option) => option.required || option.optional);
  if (typeof value === 'boolean' && options.some((option) => option !== valued)) return value;
  if (valued === undefined) throw new Error('it must be true or false');
  const { parseArg } = valued;
  let parsed: unknown;
  for (const item of Array.isArray(value) ? (value as unknown[]) : [value]) {
    if (typeof item !== 'string' && typeof item !== 'number')
      throw new Error(`${JSON.stringify(item)} is neither a text nor a number`);
    parsed = parseArg ? parseArg(String(item), parsed) : String(item);
  }
  return parsed;
}

async function load(
  from: string,
): Promise<{ file: string; values: Record<string, unknown> } | undefined> {
  try {
    const result = await cosmiconfig('debloat').search(from);
    if (!result || result.isEmpty) return undefined;
    return { file: result.filepath, values: asObject(result.config, result.filepath) };
  } catch (error) {
    if (error instanceof DebloatError) throw error;
    throw new DebloatError(`cannot read the configuration: ${messageOf(error)}`, {
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
}

function asObject(value: unknown, file: string): Record<string, unknown> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DebloatError(`${file} must hold an object of settings`, { exitCode: ExitCode.usage });
  }
  return value as Record<string, unknown>;
}

function optionsOfAll(command: Command): string[] {
  const siblings = command.parent?.commands ?? [command];
  return siblings.flatMap((other) => [
    other.name(),
    ...other.options.map((o) => o.attributeName()),
  ]);
}
