import { describe, expect, it } from 'vitest';
import { argvOf } from './command-line.js';
import { parseContinueAfter, probesFrom, statusIsExpected } from './parse-probe.js';

describe('probesFrom', () => {
  it('reads method, port, path and expected status', () => {
    expect(
      probesFrom({ http: ['/', '8080:/health', 'POST /login 2xx', 'HEAD 81:/x 200-299'] }),
    ).toEqual([
      { kind: 'http', path: '/' },
      { kind: 'http', path: '/health', port: 8080 },
      { kind: 'http', path: '/login', method: 'POST', expect: '2xx' },
      { kind: 'http', path: '/x', method: 'HEAD', port: 81, expect: '200-299' },
    ]);
  });

  it('keeps the order: http, tcp, exec, host-exec', () => {
    const probes = probesFrom({ hostExec: ['make e2e'], exec: ['id'], tcp: ['6379'], http: ['/'] });
    expect(probes.map((probe) => probe.kind)).toEqual(['http', 'tcp', 'exec', 'host-exec']);
  });

  it.each([
    [{ http: ['index.html'] }, /--http 'index.html' is not understood/],
    [{ http: ['0:/'] }, /--http '0'/],
    [{ tcp: ['70000'] }, /--tcp '70000'/],
    [{ tcp: ['redis'] }, /--tcp 'redis'/],
    [{ exec: [' '] }, /--exec/],
  ])('refuses %j', (lists, message) => {
    expect(() => probesFrom(lists)).toThrow(message);
  });
});

describe('parseContinueAfter', () => {
  it('reads the three forms', () => {
    expect(parseContinueAfter('probes')).toEqual({ kind: 'probes' });
    expect(parseContinueAfter('signal')).toEqual({ kind: 'signal' });
    expect(parseContinueAfter('1.5s')).toEqual({ kind: 'seconds', seconds: 1.5 });
  });

  it('refuses anything else', () => {
    expect(() => parseContinueAfter('enter')).toThrow(/--continue-after 'enter'/);
  });
});

describe('statusIsExpected', () => {
  it.each([
    [200, undefined, true],
    [404, undefined, true],
    [500, undefined, false],
    [204, '2xx', true],
    [304, '2xx', false],
    [304, '2xx-3xx', true],
    [201, '200', false],
    [299, '200-299', true],
  ])('%i against %s', (status, range, expected) => {
    expect(statusIsExpected(status, range)).toBe(expected);
  });
});

describe('argvOf', () => {
  it('needs no shell for plain words', () => {
    expect(argvOf('redis-cli -p 6379 ping')).toEqual(['redis-cli', '-p', '6379', 'ping']);
  });

  it('leaves quotes, variables and pipes to a shell', () => {
    expect(argvOf('echo "$HOME" | wc')).toEqual(['/bin/sh', '-c', 'echo "$HOME" | wc']);
  });
});
