import { describe, expect, it } from 'vitest';
import { ExitCode } from '../errors.js';
import {
  familiarName,
  formatReference,
  fullName,
  isLoopbackRegistry,
  parseImageName,
  parseReference,
} from './reference.js';

const digest = `sha256:${'0a'.repeat(32)}`;

describe('names, as Docker completes them', () => {
  it.each([
    ['nginx', 'docker.io/library/nginx:latest', 'nginx:latest'],
    ['nginx:1.25-alpine_x', 'docker.io/library/nginx:1.25-alpine_x', 'nginx:1.25-alpine_x'],
    ['team/api', 'docker.io/team/api:latest', 'team/api:latest'],
    ['docker.io/nginx', 'docker.io/library/nginx:latest', 'nginx:latest'],
    ['index.docker.io/team/x:1', 'docker.io/team/x:1', 'team/x:1'],
    ['docker.io/library/nginx', 'docker.io/library/nginx:latest', 'nginx:latest'],
    ['localhost/x', 'localhost/x:latest', 'localhost/x:latest'],
    ['localhost:5000/team/api:2', 'localhost:5000/team/api:2', 'localhost:5000/team/api:2'],
    ['ghcr.io/a/b/c__d-e.f:x', 'ghcr.io/a/b/c__d-e.f:x', 'ghcr.io/a/b/c__d-e.f:x'],
    ['[::1]:5000/x', '[::1]:5000/x:latest', '[::1]:5000/x:latest'],
    [`nginx@${digest}`, `docker.io/library/nginx@${digest}`, `nginx@${digest}`],
    [`nginx:1@${digest}`, `docker.io/library/nginx@${digest}`, `nginx@${digest}`],
    ['foo_bar/x', 'docker.io/foo_bar/x:latest', 'foo_bar/x:latest'],
  ])('%s', (text, full, familiar) => {
    const name = parseImageName(text);
    expect(fullName(name)).toBe(full);
    expect(familiarName(name)).toBe(familiar);
  });
});

describe('references', () => {
  it.each([
    ['nginx', { transport: 'any' }, 'nginx:latest'],
    ['docker:27', { transport: 'any' }, 'docker:27'],
    ['registry:2', { transport: 'any' }, 'registry:2'],
    ['docker://nginx:1', { transport: 'engine' }, 'docker://nginx:1'],
    [`docker://${digest}`, { transport: 'engine-id', id: digest }, `docker://${digest}`],
    ['docker://0123456789ab', { transport: 'engine-id' }, 'docker://0123456789ab'],
    ['registry://nginx', { transport: 'registry' }, 'registry://docker.io/library/nginx:latest'],
    ['oci:./dir', { transport: 'oci', path: './dir' }, 'oci:./dir'],
    ['oci:/a/b:v1.2', { transport: 'oci', path: '/a/b', tag: 'v1.2' }, 'oci:/a/b:v1.2'],
    ['oci:dir:host:5000/x:1', { path: 'dir', tag: 'host:5000/x:1' }, 'oci:dir:host:5000/x:1'],
    ['oci-archive:x.tar', { transport: 'oci-archive', path: 'x.tar' }, 'oci-archive:x.tar'],
    ['docker-archive:x.tar:a:1', { path: 'x.tar', tag: 'a:1' }, 'docker-archive:x.tar:a:1'],
    ['dir:x:y', { transport: 'dir', path: 'x:y' }, 'dir:x:y'],
  ])('%s', (text, expected, formatted) => {
    const reference = parseReference(text);
    expect(reference).toMatchObject({ ...expected, text });
    expect(formatReference(reference)).toBe(formatted);
    expect({ ...parseReference(formatted), text }).toEqual(reference);
  });

  it.each([
    ['', 'names no image'],
    ['docker://', 'names no image'],
    ['oci:', 'names no file'],
    ['oci::tag', 'names no file'],
    ['dir:', 'names no directory'],
    ['Nginx', 'lower case (nginx)'],
    ['docker://team/API', 'lower case'],
    ['nginx:', 'not a valid tag'],
    ['nginx:ta g', 'not a valid tag'],
    ['nginx:-1', 'not a valid tag'],
    ['ngi nx', 'not a valid name'],
    ['a//b', 'not a valid name'],
    ['../escape', 'not a valid name'],
    ['-x', 'not a valid name'],
    ['nginx@sha256:12', 'not a sha256 digest'],
    ['https://example.org/x', 'scheme that is not known'],
    ['registry:localhost:5000/x', 'not a valid name'],
    ['-host.org/x', 'not a valid name'],
  ])('%j is refused with examples', (text, message) => {
    const problem = expect.objectContaining({
      message: expect.stringContaining(message) as string,
      hint: expect.stringContaining('registry://localhost:5000/team/api:2') as string,
      exitCode: ExitCode.usage,
    }) as Error;
    expect(() => parseReference(text)).toThrow(problem);
  });
});

it.each([
  ['localhost', true],
  ['localhost:5000', true],
  ['127.0.0.1:5000', true],
  ['127.9.9.9', true],
  ['[::1]:5000', true],
  ['docker.io', false],
  ['localhost.example.org', false],
  ['128.0.0.1:5000', false],
])('Docker takes %s for insecure: %s', (registry, expected) => {
  expect(isLoopbackRegistry(registry)).toBe(expected);
});
