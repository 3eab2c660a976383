import { describe, expect, it } from 'vitest';
import { createOptions, type CreateRequest } from './create-options.js';

const request: CreateRequest = {
  name: 'debloat-1',
  image: 'sha256:aa',
  label: 'debloat-ws',
  config: { Entrypoint: ['/e'], Cmd: ['c'], ExposedPorts: { '80/tcp': {}, '53/udp': {} } },
  options: {},
  capabilities: ['SYS_PTRACE'],
  boundedLog: true,
};

describe('createOptions', () => {
  it('starts the image as it is, sensor in front, health checked by us', () => {
    const made = createOptions(request);
    expect([...(made.Entrypoint as string[]), ...(made.Cmd ?? [])].slice(-4)).toEqual([
      'SYS_PTRACE',
      '--',
      '/e',
      'c',
    ]);
    expect(made.Entrypoint).toEqual(['/.debloat/sensor']);
    expect(made.Healthcheck).toEqual({ Test: ['NONE'] });
    expect(made.HostConfig?.CapAdd).toEqual(['SYS_PTRACE']);
    expect(made.HostConfig?.Privileged).toBeUndefined();
    expect(made).not.toHaveProperty('User');
    expect(made).not.toHaveProperty('Env');
    expect(made.HostConfig?.PortBindings).toEqual({});
  });

  it('passes the user’s options on', () => {
    const { User, Env, HostConfig } = createOptions({
      ...request,
      capabilities: [],
      boundedLog: false,
      options: {
        user: '33:33',
        env: ['A=1'],
        network: 'backend',
        publish: ['127.0.0.1:8080:80', '81'],
        mounts: ['type=bind,source=/a,target=/b,readonly', 'type=tmpfs,target=/t,tmpfs-size=1k'],
      },
    });
    expect({ User, Env }).toEqual({ User: '33:33', Env: ['A=1'] });
    expect(HostConfig).toEqual({
      NetworkMode: 'backend',
      PortBindings: {
        '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '8080' }],
        '81/tcp': [{ HostIp: '', HostPort: '' }],
      },
      Mounts: [
        { Type: 'bind', Source: '/a', Target: '/b', ReadOnly: true },
        {
          Type: 'tmpfs',
          Source: '',
          Target: '/t',
          ReadOnly: false,
          TmpfsOptions: { SizeBytes: 1024, Mode: 0o1777 },
        },
      ],
    });
  });

  it('publishes what is needed where containers cannot be reached directly', () => {
    const made = createOptions({
      ...request,
      publishAt: '127.0.0.1',
      options: { ports: [9000], publish: ['8080:80'] },
    });
    expect(made.HostConfig?.PortBindings).toEqual({
      '80/tcp': [{ HostIp: '', HostPort: '8080' }],
      '9000/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }],
    });
    const host = createOptions({ ...request, publishAt: '', options: { network: 'host' } });
    expect(host.HostConfig?.PortBindings).toEqual({});
  });
});
