import { describe, expect, it } from 'vitest';
import { explain } from './skopeo.js';

const fatal = (message: string) => `time="2024-01-01T00:00:00Z" level=fatal msg="${message}"\n`;

describe('what skopeo says becomes one sentence', () => {
  it.each([
    [
      'Error parsing image name \\"docker://h/x\\": reading manifest 2 in h/x: unauthorized: authentication required',
      /refuses access to h\/x:2/,
    ],
    ['reading manifest 2 in h/x: manifest unknown: manifest unknown', /there is no image h\/x:2/],
    ['name unknown: repository name not known to registry', /there is no image/],
    ['dial tcp 127.0.0.1:5000: connect: connection refused', /connection refused/],
    ['dial tcp: lookup nowhere.example: no such host', /host of h\/x:2 is not known/],
    ['http: server gave HTTP response to HTTPS client', /plain HTTP/],
    // With 404 in the port, or in a digest.
    [
      'pinging container registry 127.0.0.1:40433: Get \\"https://127.0.0.1:40433/v2/\\": http: server gave HTTP response to HTTPS client',
      /plain HTTP/,
    ],
    ['Digest did not match, expected sha256:1404a, got sha256:bb', /damaged/],
    ['fetching blob: StatusCode: 404, page', /there is no image/],
    ['x509: certificate signed by unknown authority', /certificate/],
    ['dial tcp 10.0.0.1:443: i/o timeout', /cannot be reached/],
    ['Digest did not match, expected sha256:aa, got sha256:bb', /damaged/],
    ['toomanyrequests: You have reached your pull rate limit', /rate limit/],
  ])('%s', (message, expected) => {
    const error = explain(fatal(message), 'h/x:2');
    expect(error.message).toMatch(expected);
    expect(error.message).not.toContain('\n');
    expect(error.hint).toBeDefined();
  });

  it('and is passed on where it is not known', () => {
    expect(explain(`warning\n${fatal('something \\"odd\\"')}`, 'x').message).toBe(
      'skopeo cannot read x: something "odd"',
    );
  });
});
