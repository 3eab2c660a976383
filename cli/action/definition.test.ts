import { readFile } from 'node:fs/promises';
import { defaultLoaders } from 'cosmiconfig';
import { beforeAll, describe, expect, it } from 'vitest';

interface Definition {
  inputs: Record<string, { required?: boolean }>;
  outputs: Record<string, { value: string }>;
  runs: { using: string; steps: { id?: string; run: string; env: Record<string, string> }[] };
}

const file = new URL('../../action.yml', import.meta.url);
let definition: Definition;
beforeAll(async () => {
  const text = await readFile(file, 'utf8');
  definition = (await defaultLoaders['.yml'](file.pathname, text)) as Definition;
});

describe('action.yml', () => {
  it('hands every input over by the environment, under the name that is read', () => {
    const { env } = definition.runs.steps.at(-1) ?? { env: {} };
    const expected = Object.keys(definition.inputs).map((name) => [
      `INPUT_${name.replaceAll('-', '_').toUpperCase()}`,
      `\${{ inputs.${name} }}`,
    ]);
    expect(env).toEqual(Object.fromEntries(expected));
  });

  it('puts no expression into a shell script', () => {
    expect(definition.runs.using).toBe('composite');
    for (const { run } of definition.runs.steps) expect(run).not.toContain('${{');
  });

  it('promises the outputs that the script writes', async () => {
    const script = await readFile(new URL('run.ts', import.meta.url), 'utf8');
    const [, written = ''] = /writeOutputs\(file, \{([^]*?)\n {2}\}\);/.exec(script) ?? [];
    const names = [...written.matchAll(/^ {4}'?([\w-]+)'?:/gm)].map(([, name]) => name);
    expect(names).toEqual(Object.keys(definition.outputs));
    for (const [name, { value }] of Object.entries(definition.outputs)) {
      expect(value).toBe(`\${{ steps.build.outputs.${name} }}`);
    }
  });
});
