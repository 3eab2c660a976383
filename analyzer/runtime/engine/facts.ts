import type { EngineConnection } from '../engine-connection.js';
import { engineRequest } from './failure.js';

/** Where the engine's containers are, as seen from this machine. */
export interface EngineFacts {
  /** Containers' own addresses can be reached, and their processes seen in /proc. */
  direct: boolean;
  /** Where published ports are reached. */
  host: string;
}

interface Info {
  OperatingSystem?: string;
  SecurityOptions?: string[] | null;
}

/** Ask the engine. A virtual machine (Docker Desktop), a rootless or a remote engine is not direct. */
export async function engineFacts(connection: EngineConnection): Promise<EngineFacts> {
  const info = (await engineRequest(
    'ask the engine about itself',
    connection.docker.info(),
  )) as Info;
  const { socketPath, host } = connection.options;
  const rootless = info.SecurityOptions?.some((option) => /rootless/.test(option)) ?? false;
  const desktop = /docker desktop/i.test(info.OperatingSystem ?? '');
  return {
    direct: socketPath !== undefined && !rootless && !desktop && process.platform === 'linux',
    host: host === undefined || host === '' ? '127.0.0.1' : host,
  };
}
