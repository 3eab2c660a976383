import { describe, expect, it } from 'vitest';
import { parseTarget } from './targets.js';

describe('parseTarget', () => {
  it.each([
    ['4242', { kind: 'vm', pid: 4242 }],
    ['qemu://1', { kind: 'vm', pid: 1 }],
    ['docker://web', { kind: 'container', engine: 'docker', name: 'web' }],
    ['docker://42', { kind: 'container', engine: 'docker', name: '42' }],
    ['podman://a_b.c-d', { kind: 'container', engine: 'podman', name: 'a_b.c-d' }],
    ['container://77', { kind: 'process', pid: 77 }],
  ])('%s', (text, target) => {
    expect(parseTarget(text)).toEqual(target);
  });

  it.each([
    '',
    'web',
    '0',
    '-1',
    '99999999999',
    'qemu://x',
    'docker://',
    'docker://a/b',
    'container://web',
    'lxc://1',
  ])('refuses "%s"', (text) => {
    expect(() => parseTarget(text)).toThrow('names neither');
  });
});
