import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createProgram } from './program.js';

const text = readFileSync(new URL('../docs/cli.md', import.meta.url), 'utf8');

describe('docs/cli.md', () => {
  const options = createProgram().commands.flatMap((command) =>
    command.options.map((option) => [command.name(), option.long ?? ''] as const),
  );
  it.each(options)('tells of %s %s', (_, flag) => {
    expect(text).toMatch(new RegExp(`${flag}\\b`));
  });

  it('tells of no option that does not exist', () => {
    const known = new Set(options.map(([, flag]) => flag));
    const told = [...text.matchAll(/(?<=[`\s|])--[a-z][a-z-]+/g)].map((match) => match[0]);
    expect(told.filter((flag) => !known.has(flag))).toEqual([]);
  });
});
