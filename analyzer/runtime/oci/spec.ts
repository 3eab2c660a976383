import type { MountOption } from '../mount-option.js';
import { sensorDir, tracedArgv } from '../sensor.js';
import { droppedCapabilities, sensorCapabilitySets, type CapabilitySets } from './capabilities.js';
import type { ProcessUser } from './user.js';

/** A process of a container (OCI runtime spec 1.0, config.md "Process"). */
export interface OciProcess {
  terminal: false;
  user: { uid: number; gid: number; additionalGids: number[] };
  args: string[];
  env: string[];
  cwd: string;
  capabilities: CapabilitySets;
  rlimits: { type: string; soft: number; hard: number }[];
  noNewPrivileges: false;
}

export interface OciMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

/** The parts of the OCI runtime spec's config.json that we write. */
export interface OciSpec {
  ociVersion: string;
  process: OciProcess;
  root: { path: string; readonly: false };
  hostname: string;
  mounts: OciMount[];
  linux: {
    namespaces: { type: string; path?: string }[];
    resources: { devices: { allow: boolean; access: string }[] };
    sysctl: Record<string, string>;
    maskedPaths: string[];
    readonlyPaths: string[];
  };
}

export interface ProcessRequest {
  /** The workload's own; the sensor is put in front. */
  argv: string[];
  /** Of the image and the user's options. */
  env: string[];
  cwd: string;
  user: ProcessUser;
  hostname: string;
  /** Of file descriptors. */
  openFiles: number;
}

export interface SpecRequest extends ProcessRequest {
  rootfs: string;
  /** This machine's directory to see at /.debloat. */
  sensorDirectory: string;
  /** This machine's files to see as /etc/hosts, /etc/hostname and /etc/resolv.conf. */
  etcFiles: { hosts: string; hostname: string; resolvConf: string };
  /** `path` of a named namespace, "private" for a new one without any link, or this machine's own. */
  network: { path: string } | 'private' | 'host';
  mounts: MountOption[];
  /** Directories of this machine to see at paths that the image lacks. */
  volumes: { source: string; target: string }[];
}

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The process that runs `argv` with the sensor in front, as Docker would start it. */
export function ociProcess(request: ProcessRequest): OciProcess {
  const { uid, gid, additionalGids } = request.user;
  return {
    terminal: false,
    user: { uid, gid, additionalGids },
    args: tracedArgv(request.argv, droppedCapabilities(uid)),
    env: processEnvironment(request),
    cwd: request.cwd === '' ? '/' : request.cwd,
    capabilities: sensorCapabilitySets(uid),
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: request.openFiles, hard: request.openFiles }],
    noNewPrivileges: false,
  };
}

/** The image's and the user's settings, and those that every engine adds where they lack. */
export function processEnvironment({
  env,
  hostname,
  user,
}: Pick<ProcessRequest, 'env' | 'hostname' | 'user'>): string[] {
  const has = (name: string) => env.some((setting) => setting.startsWith(`${name}=`));
  return [
    ...(has('PATH') ? [] : [defaultPath]),
    ...(has('HOSTNAME') ? [] : [`HOSTNAME=${hostname}`]),
    ...env,
    ...(has('HOME') ? [] : [`HOME=${user.home}`]),
  ];
}

/**
 * The whole config.json: namespaces, mounts, masked paths and capabilities of `docker run`. There is
 * no seccomp profile but the sensor's own filter: what the default profile would deny (all of it
 * needs capabilities that the workload lacks, or is obsolete) is not missed in a traced run.
 */
export function ociSpec(request: SpecRequest): OciSpec {
  const { network } = request;
  const ownNetwork = network !== 'host';
  return {
    ociVersion: '1.0.2',
    process: ociProcess(request),
    root: { path: request.rootfs, readonly: false },
    hostname: request.hostname,
    mounts: [...systemMounts(ownNetwork), ...workloadMounts(request)],
    linux: {
      namespaces: [
        ...['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })),
        ...(typeof network === 'object' ? [{ type: 'network', path: network.path }] : []),
        ...(network === 'private' ? [{ type: 'network' }] : []),
      ],
      // The runtimes allow the usual devices (null, zero, random, ptys, …) by themselves.
      resources: { devices: [{ allow: false, access: 'rwm' }] },
      sysctl: ownNetwork
        ? {
            'net.ipv4.ip_unprivileged_port_start': '0',
            'net.ipv4.ping_group_range': '0 2147483647',
          }
        : {},
      maskedPaths,
      readonlyPaths,
    },
  };
}

function systemMounts(ownNetwork: boolean): OciMount[] {
  const guarded = ['nosuid', 'noexec', 'nodev'];
  const sysfs: OciMount = ownNetwork
    ? { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...guarded, 'ro'] }
    : { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', ...guarded, 'ro'] };
  const cgroup = {
    destination: '/sys/fs/cgroup',
    type: 'cgroup',
    source: 'cgroup',
    options: [...guarded, 'relatime', 'ro'],
  };
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: guarded },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...guarded, 'mode=1777', 'size=65536k'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: guarded },
    sysfs,
    ...(ownNetwork ? [cgroup] : []),
  ];
}

function workloadMounts(request: SpecRequest): OciMount[] {
  const { hosts, hostname, resolvConf } = request.etcFiles;
  return [
    bind(hosts, '/etc/hosts'),
    bind(hostname, '/etc/hostname'),
    bind(resolvConf, '/etc/resolv.conf'),
    ...request.volumes.map(({ source, target }) => bind(source, target)),
    ...request.mounts.flatMap(userMount),
    bind(request.sensorDirectory, sensorDir),
  ];
}

// A volume is a directory of the run's own writable tree, which is there already.
function userMount({ type, source, target, readonly, size, mode }: MountOption): OciMount[] {
  if (type === 'bind' && source !== undefined) return [bind(source, target, readonly)];
  if (type !== 'tmpfs') return [];
  const options = [
    'nosuid',
    'nodev',
    'noexec',
    `mode=${(mode ?? 0o1777).toString(8)}`,
    ...(size === undefined ? [] : [`size=${size}`]),
    ...(readonly ? ['ro'] : []),
  ];
  return [{ destination: target, type: 'tmpfs', source: 'tmpfs', options }];
}

function bind(source: string, destination: string, readonly = false): OciMount {
  const options = ['rbind', 'rprivate', readonly ? 'ro' : 'rw'];
  return { destination, type: 'bind', source, options };
}

const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
];

const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];
