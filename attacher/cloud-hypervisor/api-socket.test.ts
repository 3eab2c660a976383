import { expect, it } from 'vitest';
import { apiSocketIn, apiSocketOf } from './api-socket.js';

const words: [string, string | undefined][] = [
  ['--api-socket /run/ch.sock', '/run/ch.sock'],
  ['--api-socket=/run/ch.sock', '/run/ch.sock'],
  ['--api-socket path=/run/ch.sock', '/run/ch.sock'],
  ['--api-socket=path=/run/ch.sock', '/run/ch.sock'],
  ['--kernel k --api-socket ch.sock --cpus boot=1', '/vm/ch.sock'],
  ['--api-socket path=../ch.sock', '/ch.sock'],
  ['--api-socket fd=7', undefined],
  ['--api-socket', undefined],
  ['--kernel k', undefined],
];
it.each(words)('finds the API’s socket in “%s”', (line, expected) => {
  expect(apiSocketIn(['cloud-hypervisor', ...line.split(' ')], '/vm')).toBe(expected);
});

it('refuses a process without one', () => {
  expect(() => apiSocketOf(process.pid)).toThrow(/was started without --api-socket/);
});
