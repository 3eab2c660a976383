import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { DebloatError, messageOf } from '../errors.js';
import { currentDockerContext, dockerConfigDir } from './docker-context.js';

/** An address at which an engine may answer. */
export interface EngineEndpoint {
  /** Who says so: "DOCKER_HOST", "context prod", "default socket". */
  origin: string;
  /** As in DOCKER_HOST. */
  address: string;
  /** Plain data, so that it can stand in the workspace's journal. */
  options: Docker.DockerOptions;
}

/**
 * Where a Docker engine may answer, in the order to try. An address that the user chose (DOCKER_HOST,
 * a context) stands alone, as with the docker command itself.
 */
export async function dockerEndpoints(env: NodeJS.ProcessEnv): Promise<EngineEndpoint[]> {
  const host = env['DOCKER_HOST'];
  if (host) {
    const tls = Boolean(env['DOCKER_TLS_VERIFY']);
    const certs = env['DOCKER_CERT_PATH'] ?? dockerConfigDir(env);
    return [await endpoint('DOCKER_HOST', host, tls ? certs : undefined, env)];
  }
  const context = await currentDockerContext(env);
  if (context) {
    const origin = `context ${context.name}`;
    const certs = (await hasFile(join(context.tlsDir, 'ca.pem'))) ? context.tlsDir : undefined;
    return [await endpoint(origin, context.host, certs, env)];
  }
  const home = env['HOME'];
  return [
    unixEndpoint('default socket', '/var/run/docker.sock'),
    ...inRuntimeDir(env, 'rootless Docker', 'docker.sock'),
    ...(home ? [unixEndpoint('Docker Desktop', join(home, '.docker/desktop/docker.sock'))] : []),
  ];
}

/** Where podman's Docker-compatible service may answer, in the order to try. */
export async function podmanEndpoints(env: NodeJS.ProcessEnv): Promise<EngineEndpoint[]> {
  const host = env['CONTAINER_HOST'];
  if (host) return [await endpoint('CONTAINER_HOST', host, undefined, env)];
  return [
    ...inRuntimeDir(env, 'rootless podman', 'podman/podman.sock'),
    unixEndpoint('podman', '/run/podman/podman.sock'),
  ];
}

function inRuntimeDir(env: NodeJS.ProcessEnv, origin: string, name: string): EngineEndpoint[] {
  const dir = env['XDG_RUNTIME_DIR'];
  return dir ? [unixEndpoint(origin, join(dir, name))] : [];
}

function unixEndpoint(origin: string, path: string): EngineEndpoint {
  // An empty host and a plain protocol keep the library's own reading of DOCKER_HOST out.
  return {
    origin,
    address: `unix://${path}`,
    options: { socketPath: path, host: '', protocol: 'http' },
  };
}

async function endpoint(
  origin: string,
  address: string,
  certs: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<EngineEndpoint> {
  const url = parseAddress(origin, address);
  switch (url.protocol) {
    case 'unix:':
      return unixEndpoint(origin, decodeURIComponent(url.pathname) || '/var/run/docker.sock');
    case 'ssh:':
      return { origin, address, options: sshOptions(url, env) };
    case 'tcp:':
    case 'http:':
    case 'https:': {
      const tls = certs !== undefined || url.protocol === 'https:';
      const options: Docker.DockerOptions = {
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port || (tls ? 2376 : 2375),
        protocol: tls ? 'https' : 'http',
        ...(certs === undefined ? {} : await readCertificates(certs)),
      };
      return { origin, address, options };
    }
    default:
      throw new DebloatError(`${origin} says "${address}", a kind of address that is not known`, {
        hint: 'known are unix://, tcp://, https:// and ssh://',
      });
  }
}

function parseAddress(origin: string, address: string): URL {
  try {
    return new URL(address.includes('://') ? address : `tcp://${address}`);
  } catch (error) {
    throw new DebloatError(`${origin} says "${address}", which is not an address`, {
      hint: 'it should be like unix:///var/run/docker.sock, tcp://host:2375 or ssh://user@host',
      cause: error,
    });
  }
}

function sshOptions(url: URL, env: NodeJS.ProcessEnv): Docker.DockerOptions {
  const agent = env['SSH_AUTH_SOCK'];
  return {
    protocol: 'ssh',
    host: url.hostname,
    port: url.port || 22,
    username: decodeURIComponent(url.username) || env['USER'] || 'root',
    // Keys come from the agent only: they must not end up in the workspace's journal.
    ...(agent ? { sshOptions: { agent } } : {}),
  };
}

async function readCertificates(dir: string): Promise<Docker.DockerOptions> {
  const read = async (name: string): Promise<string> => {
    try {
      return await readFile(join(dir, name), 'utf8');
    } catch (error) {
      throw new DebloatError(`the engine's TLS file cannot be read: ${messageOf(error)}`, {
        hint: 'DOCKER_CERT_PATH is to hold ca.pem, cert.pem and key.pem',
        cause: error,
      });
    }
  };
  return { ca: await read('ca.pem'), cert: await read('cert.pem'), key: await read('key.pem') };
}

async function hasFile(path: string): Promise<boolean> {
  return readFile(path).then(
    () => true,
    () => false,
  );
}
