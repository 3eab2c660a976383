import { describe, expect, it } from 'vitest';
import { parseMount } from './mount-option.js';
import { parsePublish } from './publish-option.js';
import { exposedPorts, workloadArgv, workloadEnv } from './workload.js';

describe('parseMount', () => {
  it.each([
    [
      'type=bind,source=/a,target=/b,readonly',
      { type: 'bind', source: '/a', target: '/b', readonly: true },
    ],
    ['type=bind,src=/a,dst=/b', { type: 'bind', source: '/a', target: '/b', readonly: false }],
    [
      'source=data,destination=/d',
      { type: 'volume', source: 'data', target: '/d', readonly: false },
    ],
    [
      'type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770',
      { type: 'tmpfs', target: '/t', readonly: false, size: 64 * 2 ** 20, mode: 0o1770 },
    ],
    ['type=volume,target=/v,readonly=false', { type: 'volume', target: '/v', readonly: false }],
  ])('%s', (spec, expected) => {
    expect(parseMount(spec)).toEqual(expected);
  });

  it.each([
    'type=nfs,target=/x',
    'type=bind,target=/x',
    'type=bind,source=rel,target=/x',
    'type=tmpfs,source=/a,target=/x',
    'type=volume,target=x',
    'type=volume',
    'type=bind,source=/a,target=/b,speed=9',
    'type=tmpfs,target=/t,tmpfs-size=big',
    'type=tmpfs,target=/t,readonly=maybe',
  ])('refuses %s', (spec) => {
    expect(() => parseMount(spec)).toThrow(`--mount ${spec}`);
  });
});

describe('parsePublish', () => {
  it.each([
    ['80', { containerPort: 80, protocol: 'tcp' }],
    ['8080:80', { hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    ['127.0.0.1:8080:80', { ip: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    ['127.0.0.1::80', { ip: '127.0.0.1', containerPort: 80, protocol: 'tcp' }],
    ['[::1]:53:53/udp', { ip: '::1', hostPort: 53, containerPort: 53, protocol: 'udp' }],
  ])('%s', (spec, expected) => {
    expect(parsePublish(spec)).toEqual(expected);
  });

  it.each(['', 'x', '80/sctp', '0:80', '99999', 'nowhere:1:2', '1:2:3:4', '::1:80:80'])(
    'refuses "%s"',
    (spec) => {
      expect(() => parsePublish(spec)).toThrow(`--publish ${spec}`);
    },
  );
});

describe('the workload', () => {
  const config = { Entrypoint: ['/e'], Cmd: ['a', 'b'], Env: ['A=1', 'B=2'] };

  it('is the entrypoint with the cmd', () => {
    expect(workloadArgv(config, {})).toEqual(['/e', 'a', 'b']);
    expect(workloadArgv({ Cmd: ['c'], Entrypoint: null }, {})).toEqual(['c']);
    expect(workloadArgv(config, { cmd: ['x'] })).toEqual(['/e', 'x']);
  });

  it('loses its cmd with its entrypoint', () => {
    expect(workloadArgv(config, { entrypoint: ['/n'] })).toEqual(['/n']);
    expect(workloadArgv(config, { entrypoint: ['/n'], cmd: ['x'] })).toEqual(['/n', 'x']);
  });

  it('must be something', () => {
    expect(() => workloadArgv({}, {})).toThrow('names no command');
  });

  it('has its environment overridden by name', () => {
    expect(workloadEnv(config, { env: ['B=3', 'C='] })).toEqual(['A=1', 'B=3', 'C=']);
  });

  it('exposes TCP ports, ranges included', () => {
    const ports = { '8080/tcp': {}, '53/udp': {}, '80': {}, '7000-7002/tcp': {} };
    expect(exposedPorts({ ExposedPorts: ports })).toEqual([80, 7000, 7001, 7002, 8080]);
    expect(exposedPorts({})).toEqual([]);
  });
});
