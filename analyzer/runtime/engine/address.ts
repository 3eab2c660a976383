import { readFile } from 'node:fs/promises';
import type Docker from 'dockerode';
import { DebloatError } from '../../errors.js';
import { listeningIn } from '../listening.js';
import type { EngineFacts } from './facts.js';

/** How this machine reaches a running container's ports. */
export interface Address {
  host: string;
  reach(port: number): { host: string; port: number };
}

/** The container's address from what the engine says of it once it has started. */
export function addressOf(info: Docker.ContainerInspectInfo, facts: EngineFacts): Address {
  if (info.HostConfig.NetworkMode === 'host') return direct(facts.host);
  if (facts.direct) {
    const ip = ipOf(info);
    // Without a network (or once ended) nothing listens there, which is the right answer.
    return direct(ip ?? '127.0.0.1');
  }
  const ports = info.NetworkSettings.Ports as Record<string, { HostPort: string }[] | null> | null;
  return {
    host: facts.host,
    reach: (port) => {
      const hostPort = ports?.[`${port}/tcp`]?.[0]?.HostPort;
      if (hostPort === undefined) {
        throw new DebloatError(`port ${port} of the container cannot be reached from here`, {
          hint: `publish it: --publish ${port}`,
        });
      }
      return { host: facts.host, port: Number(hostPort) };
    },
  };
}

function direct(host: string): Address {
  return { host, reach: (port) => ({ host, port }) };
}

/** The container's first address on a network of its own. */
export function ipOf(info: Docker.ContainerInspectInfo): string | undefined {
  const networks = Object.values(info.NetworkSettings.Networks);
  return networks.map((network) => network.IPAddress).find((ip) => ip !== '');
}

/**
 * Ports listening in the network namespace of process `pid`, provided that it is the container with
 * address `ip`: an engine elsewhere has other processes under the same numbers. Else undefined.
 */
export async function listeningByProc(
  pid: number,
  ip: string | undefined,
): Promise<number[] | undefined> {
  if (pid === 0 || ip === undefined) return undefined;
  try {
    const net = `/proc/${pid}/net`;
    if (!(await readFile(`${net}/fib_trie`, 'utf8')).split(/\s+/).includes(ip)) return undefined;
    return await listeningIn(net);
  } catch {
    return undefined;
  }
}
