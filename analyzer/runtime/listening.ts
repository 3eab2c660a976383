import { readFile } from 'node:fs/promises';

/** A TCP socket that listens. */
export interface Listener {
  port: number;
  /** Whether only the same network namespace can reach it (127.0.0.0/8, ::1). */
  loopback: boolean;
}

const listenState = '0A';

/**
 * The listening sockets of a /proc/net/tcp or tcp6 (proc_net_tcp in the kernel's documentation):
 * the address is hexadecimal, in words of the host's byte order (little endian).
 */
export function parseListeners(table: string): Listener[] {
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([, local = '', , state]) => {
      const [address = '', port = ''] = local.split(':');
      if (state !== listenState || port === '') return [];
      return [{ port: Number.parseInt(port, 16), loopback: isLoopback(address) }];
    });
}

function isLoopback(address: string): boolean {
  if (address.length === 8) return address.endsWith('7F');
  return (
    address === '00000000000000000000000001000000' || // ::1
    (address.startsWith('0000000000000000FFFF0000') && address.endsWith('7F')) // ::ffff:127.x
  );
}

/** Distinct ports of `listeners`, ascending. */
export function portsOf(listeners: Listener[]): number[] {
  return [...new Set(listeners.map(({ port }) => port))].sort((a, b) => a - b);
}

/** Ports listening in the network namespace that `net` (a /proc/PID/net) shows; none if it is gone. */
export async function listeningIn(net: string): Promise<number[]> {
  const tables = ['tcp', 'tcp6'].map((name) => readFile(`${net}/${name}`, 'utf8').catch(() => ''));
  return portsOf((await Promise.all(tables)).flatMap(parseListeners));
}

/** Ports listening in our own network namespace. */
export async function listeningHere(): Promise<number[]> {
  return listeningIn('/proc/self/net');
}
