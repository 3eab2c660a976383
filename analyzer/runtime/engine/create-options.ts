import type Docker from 'dockerode';
import type { RunConfig } from '../../image/types.js';
import { parseMount } from '../mount-option.js';
import { parsePublish } from '../publish-option.js';
import { tracedArgv } from '../sensor.js';
import type { RunOptions } from '../types.js';
import { exposedPorts, workloadArgv } from '../workload.js';

export interface CreateRequest {
  /** Of the container. */
  name: string;
  /** As the engine knows it. */
  image: string;
  /** Of the workspace that the container belongs to. */
  label: string;
  config: RunConfig;
  options: RunOptions;
  /** Names as the engine takes them ("SYS_PTRACE"), for the sensor alone. */
  capabilities: string[];
  /** Publish the ports that we need on this address: containers cannot be reached directly. */
  publishAt?: string;
  /** The engine's own file log, bounded (not every engine knows it). */
  boundedLog: boolean;
}

/** The engine's create request for a workload with the sensor in front (pure). */
export function createOptions(request: CreateRequest): Docker.ContainerCreateOptions {
  const { config, options } = request;
  const [sensor = '', ...rest] = tracedArgv(workloadArgv(config, options), request.capabilities);
  return {
    name: request.name,
    Image: request.image,
    Labels: { 'dev.debloat.workspace': request.label },
    Entrypoint: [sensor],
    Cmd: rest,
    Healthcheck: { Test: ['NONE'] }, // run by us, traced
    ...(options.env && { Env: options.env }),
    ...(options.user !== undefined && { User: options.user }),
    ExposedPorts: Object.fromEntries<object>(
      [...bindings(request).keys()].map((port) => [port, {}]),
    ),
    HostConfig: {
      ...(options.network !== undefined && { NetworkMode: options.network }),
      ...(request.capabilities.length > 0 && { CapAdd: request.capabilities }),
      ...(request.boundedLog && {
        LogConfig: { Type: 'json-file', Config: { 'max-size': '4m', 'max-file': '2' } },
      }),
      PortBindings: Object.fromEntries(bindings(request)),
      Mounts: (options.mounts ?? []).map(mount),
    },
  };
}

interface PortBinding {
  HostIp: string;
  HostPort: string;
}

function bindings({ config, options, publishAt }: CreateRequest): Map<string, PortBinding[]> {
  const made = new Map<string, PortBinding[]>();
  for (const { ip, hostPort, containerPort, protocol } of (options.publish ?? []).map(
    parsePublish,
  )) {
    const port = `${containerPort}/${protocol}`;
    const binding = { HostIp: ip ?? '', HostPort: hostPort === undefined ? '' : String(hostPort) };
    made.set(port, [...(made.get(port) ?? []), binding]);
  }
  if (publishAt === undefined || options.network === 'host' || options.network === 'none') {
    return made;
  }
  for (const number of [...exposedPorts(config), ...(options.ports ?? [])]) {
    const port = `${number}/tcp`;
    if (!made.has(port)) made.set(port, [{ HostIp: publishAt, HostPort: '' }]);
  }
  return made;
}

function mount(spec: string): Docker.MountSettings {
  const { type, source, target, readonly, size, mode } = parseMount(spec);
  return {
    Type: type,
    Source: source ?? '',
    Target: target,
    ReadOnly: readonly,
    ...((size !== undefined || mode !== undefined) && {
      TmpfsOptions: { SizeBytes: size ?? 0, Mode: mode ?? 0o1777 },
    }),
  };
}
