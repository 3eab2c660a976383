import { expect, it } from 'vitest';
import { DebloatError } from '../../errors.js';
import { engineFailure } from './failure.js';

const answer = (statusCode: number, message: string) =>
  Object.assign(new Error(`(HTTP code ${statusCode}) x - ${message} `), {
    statusCode,
    json: { message },
  });

it.each([
  [
    answer(500, 'driver failed: Bind for 0.0.0.0:8080 failed: port is already allocated'),
    'port 8080 of --publish is already in use',
  ],
  [
    answer(500, 'listen tcp4 0.0.0.0:443: bind: address already in use'),
    'port 443 of --publish is already in use',
  ],
  [answer(404, 'No such container: abc'), 'removed by someone else; cannot start it'],
  [answer(500, 'bad thing'), 'cannot start it: bad thing'],
  [Object.assign(new Error('x'), { code: 'ECONNREFUSED' }), 'engine went away'],
  [Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }), 'engine went away'],
])('explains %s', (error, message) => {
  const failure = engineFailure('start it', error);
  expect(failure).toBeInstanceOf(DebloatError);
  expect(failure.message).toContain(message);
});

it('leaves our own errors as they are', () => {
  const own = new DebloatError('x');
  expect(engineFailure('start it', own)).toBe(own);
});
