import { expect, it } from 'vitest';
import { ExitCode } from '../analyzer/errors.js';
import { matchTargets } from './match-targets.js';

const targets = [
  { target: 'qemu://41' },
  { target: 'qemu://42', name: 'web-1' },
  { target: 'docker://web-1' },
  { target: 'docker://db' },
  { target: 'podman://web-1' },
];

it.each([
  ['qemu://*', ['qemu://41', 'qemu://42']],
  ['qemu://42', ['qemu://42']],
  ['qemu://web-*', ['qemu://42']],
  ['docker://web-*', ['docker://web-1']],
  ['docker://{db,web-1}', ['docker://web-1', 'docker://db']],
  ['podman://*', ['podman://web-1']],
  ['docker://none', []],
])('%s', (pattern, expected) => {
  expect(matchTargets(pattern, targets).map(({ target }) => target)).toEqual(expected);
});

it.each(['*', 'qemu://', 'container://*', '42', ''])('%j is refused', (pattern) => {
  expect(() => matchTargets(pattern, targets)).toThrow(
    expect.objectContaining({ exitCode: ExitCode.usage }),
  );
});
