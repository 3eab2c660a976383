import { isIP } from 'node:net';
import { DebloatError, ExitCode } from '../errors.js';

/** One `--publish`, parsed. */
export interface PublishOption {
  /** Address to listen on; undefined for all. */
  ip?: string;
  /** Undefined: a free one. */
  hostPort?: number;
  containerPort: number;
  protocol: 'tcp' | 'udp';
}

/** Parse "[[ip:]hostPort:]containerPort[/proto]" as `docker run --publish` does; throws a DebloatError. */
export function parsePublish(spec: string): PublishOption {
  const match = /^(?:(?:(\[[^\]]*\]|[^:[\]]*):)?(\d*):)?(\d+)(?:\/(tcp|udp))?$/.exec(spec);
  if (!match) throw wrong(spec, 'it is not [[ip:]hostPort:]containerPort[/protocol]');
  const [, address = '', hostPort = '', containerPort = '', protocol = 'tcp'] = match;
  const ip = address.replace(/^\[|\]$/g, '');
  if (ip !== '' && isIP(ip) === 0) throw wrong(spec, `"${ip}" is not an IP address`);
  return {
    containerPort: portNumber(spec, containerPort),
    protocol: protocol === 'udp' ? 'udp' : 'tcp',
    ...(ip !== '' && { ip }),
    ...(hostPort !== '' && { hostPort: portNumber(spec, hostPort) }),
  };
}

function portNumber(spec: string, text: string): number {
  const port = Number(text);
  if (port < 1 || port > 65535) throw wrong(spec, `${text} is not a port`);
  return port;
}

function wrong(spec: string, problem: string): DebloatError {
  return new DebloatError(`--publish ${spec}: ${problem}`, {
    hint: 'for example: --publish 8080:80 or --publish 127.0.0.1:5353:53',
    exitCode: ExitCode.usage,
  });
}
