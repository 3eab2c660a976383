import type { RunConfig } from '../image/types.js';
import type { Probe } from './types.js';

/** Ports that as a rule speak HTTP. */
const httpPorts = new Set([80, 3000, 4000, 5000, 8000, 8008, 8080, 8081, 8888, 9000, 9090]);

/** TCP ports that the image says it listens on, lowest first. */
export function exposedTcpPorts(config: RunConfig): number[] {
  return Object.keys(config.ExposedPorts ?? {})
    .filter((port) => !port.endsWith('/udp') && !port.endsWith('/sctp'))
    .map((port) => Number.parseInt(port, 10))
    .filter((port) => port > 0 && port < 65536)
    .sort((a, b) => a - b);
}

/** What to do with an image that nobody said how to use: ask at each port it exposes. */
export function defaultProbes(config: RunConfig): Probe[] {
  return exposedTcpPorts(config).map((port) =>
    httpPorts.has(port) ? { kind: 'http', port, path: '/' } : { kind: 'tcp', port },
  );
}
