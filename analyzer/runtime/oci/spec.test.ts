import { describe, expect, it } from 'vitest';
import { signalNumber } from './signal-number.js';
import { ociSpec, type SpecRequest } from './spec.js';
import { pickSubnet } from './subnet.js';
import { resolveUser } from './user.js';

const passwd = `root:x:0:0:root:/root:/bin/sh
www-data:x:33:33::/var/www:/usr/sbin/nologin
# comment
broken
app:x:1000:1001::/home/app:/bin/sh`;
const group = `root:x:0:
www-data:x:33:app
adm:x:4:app,root
app:x:1001:
`;

describe('resolveUser', () => {
  it.each([
    ['', { uid: 0, gid: 0, additionalGids: [4], home: '/root' }],
    ['app', { uid: 1000, gid: 1001, additionalGids: [4, 33], home: '/home/app' }],
    ['1000', { uid: 1000, gid: 1001, additionalGids: [4, 33], home: '/home/app' }],
    ['app:adm', { uid: 1000, gid: 4, additionalGids: [], home: '/home/app' }],
    ['4711', { uid: 4711, gid: 0, additionalGids: [], home: '/' }],
    ['4711:4712', { uid: 4711, gid: 4712, additionalGids: [], home: '/' }],
    ['www-data:0', { uid: 33, gid: 0, additionalGids: [], home: '/var/www' }],
  ])('"%s"', (spec, expected) => {
    expect(resolveUser(spec, passwd, group)).toEqual(expected);
  });

  it('needs no files for numbers', () => {
    expect(resolveUser('', '', '')).toEqual({ uid: 0, gid: 0, additionalGids: [], home: '/' });
  });

  it.each(['nobody', 'app:none'])('refuses "%s"', (spec) => {
    expect(() => resolveUser(spec, passwd, group)).toThrow('the image has no');
  });
});

const request: SpecRequest = {
  argv: ['/e', 'c'],
  env: ['A=1'],
  cwd: '',
  user: { uid: 0, gid: 0, additionalGids: [4], home: '/root' },
  hostname: 'h',
  openFiles: 1024,
  rootfs: '/r',
  sensorDirectory: '/s',
  etcFiles: { hosts: '/w/hosts', hostname: '/w/hostname', resolvConf: '/w/resolv' },
  network: { path: '/run/netns/n' },
  mounts: [],
  volumes: [],
};

describe('ociSpec', () => {
  it('runs the workload as docker run would, sensor in front', () => {
    const { process, linux, root } = ociSpec(request);
    expect(process).toMatchObject({
      terminal: false,
      user: { uid: 0, gid: 0, additionalGids: [4] },
      cwd: '/',
      noNewPrivileges: false,
    });
    expect(process.args.slice(-3)).toEqual(['--', '/e', 'c']);
    expect(process.env).toEqual([
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'HOSTNAME=h',
      'A=1',
      'HOME=/root',
    ]);
    expect(root).toEqual({ path: '/r', readonly: false });
    expect(linux.namespaces).toEqual([
      { type: 'pid' },
      { type: 'mount' },
      { type: 'ipc' },
      { type: 'uts' },
      { type: 'network', path: '/run/netns/n' },
    ]);
  });

  it('leaves the environment alone where the image says all', () => {
    const env = ['PATH=/p', 'HOME=/h', 'HOSTNAME=mine'];
    expect(ociSpec({ ...request, env }).process.env).toEqual(env);
  });

  it('gives root what Docker gives, and the sensor what it drops again', () => {
    const { capabilities, args } = ociSpec(request).process;
    expect(capabilities.ambient).toEqual([]);
    expect(capabilities.effective).toHaveLength(14 + 2);
    expect(args).toContain('CAP_SYS_ADMIN,CAP_SYS_PTRACE');
    expect(capabilities.effective).not.toContain('CAP_NET_ADMIN');
  });

  it('gives any other user only what the sensor drops again', () => {
    const user = { uid: 33, gid: 33, additionalGids: [], home: '/' };
    const { capabilities, args } = ociSpec({ ...request, user }).process;
    expect(capabilities.ambient).toEqual(['CAP_SYS_ADMIN', 'CAP_SYS_PTRACE', 'CAP_SETPCAP']);
    expect(capabilities.effective).toEqual(capabilities.ambient);
    expect(capabilities.bounding).toHaveLength(16);
    expect(args).toContain(capabilities.ambient.join(','));
  });

  it('mounts what is asked for, and the sensor last', () => {
    const { mounts } = ociSpec({
      ...request,
      mounts: [
        { type: 'bind', source: '/a', target: '/b', readonly: true },
        { type: 'tmpfs', target: '/t', readonly: false, size: 4096 },
        { type: 'volume', source: 'v', target: '/v', readonly: false },
      ],
      volumes: [{ source: '/w/v', target: '/data' }],
    });
    expect(mounts.slice(-4)).toEqual([
      { destination: '/data', type: 'bind', source: '/w/v', options: ['rbind', 'rprivate', 'rw'] },
      { destination: '/b', type: 'bind', source: '/a', options: ['rbind', 'rprivate', 'ro'] },
      {
        destination: '/t',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'nodev', 'noexec', 'mode=1777', 'size=4096'],
      },
      {
        destination: '/.debloat',
        type: 'bind',
        source: '/s',
        options: ['rbind', 'rprivate', 'rw'],
      },
    ]);
  });

  it('shares this machine’s network only when told to', () => {
    const types = (network: SpecRequest['network']) =>
      ociSpec({ ...request, network }).linux.namespaces.filter(({ type }) => type === 'network');
    expect(types('host')).toEqual([]);
    expect(types('private')).toEqual([{ type: 'network' }]);
    expect(ociSpec({ ...request, network: 'host' }).linux.sysctl).toEqual({});
  });
});

describe('pickSubnet', () => {
  it('avoids every network that there is a way into', () => {
    const picks = [0, 64, 128];
    const next = () => picks.shift() ?? 0;
    expect(pickSubnet(['10.0.0.0/24', '10.0.1.1', '172.17.0.0/16'], next)).toEqual({
      host: '10.0.2.1',
      container: '10.0.2.2',
    });
  });

  it('gives up where all is taken', () => {
    expect(() => pickSubnet(['10.0.0.0/8'])).toThrow('no addresses are free');
  });
});

describe('signalNumber', () => {
  it.each([
    ['SIGTERM', 15],
    ['quit', 3],
    ['SIGRTMIN+3', 37],
    ['RTMAX-1', 63],
    ['9', 9],
  ])('%s', (name, number) => {
    expect(signalNumber(name)).toBe(number);
  });

  it('refuses what is none', () => {
    expect(() => signalNumber('SIGNOPE')).toThrow('not a signal');
  });
});
