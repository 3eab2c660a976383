import { readFile, stat } from 'node:fs/promises';
import { messageOf } from '../errors.js';
import type { EngineEndpoint } from './engine-endpoint.js';

/** Why nothing could be done with a runtime, and what the user can do about it. */
export interface Refusal {
  reason: string;
  hint: string;
}

/** What a failed first request to `endpoint` means. */
export async function explainRefusal(endpoint: EngineEndpoint, error: unknown): Promise<Refusal> {
  const socket = endpoint.options.socketPath;
  const at = `${endpoint.address} (${endpoint.origin})`;
  switch ((error as NodeJS.ErrnoException).code ?? '') {
    case 'ENOENT':
      return { reason: `${at}: there is no such socket`, hint: startHint(endpoint) };
    case 'EACCES':
    case 'EPERM':
      return {
        reason: `${at}: permission denied`,
        hint: await permissionHint(socket ?? ''),
      };
    case 'ECONNREFUSED':
      return { reason: `${at}: nothing answers there`, hint: startHint(endpoint) };
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return { reason: `${at}: the host's name cannot be resolved`, hint: 'check the address' };
    case 'ETIMEDOUT':
    case 'ABORT_ERR':
    case 'ECONNRESET':
      return {
        reason: `${at}: it does not answer (${messageOf(error)})`,
        hint: 'check that the engine is up and that its TLS settings match the address',
      };
    default:
      return {
        reason: `${at}: ${messageOf(error).trim()}`,
        hint:
          endpoint.options.protocol === 'ssh'
            ? 'ssh needs a running agent (SSH_AUTH_SOCK) that holds a key for that host'
            : 'check that a Docker or podman engine listens at this address',
      };
  }
}

function startHint(endpoint: EngineEndpoint): string {
  if (endpoint.origin.includes('podman')) {
    return endpoint.origin.startsWith('rootless')
      ? 'start it: systemctl --user start podman.socket'
      : 'start it: systemctl start podman.socket';
  }
  if (endpoint.origin === 'default socket') {
    return 'start the engine (systemctl start docker), or set DOCKER_HOST';
  }
  return `start the engine, or change ${endpoint.origin}`;
}

async function permissionHint(socket: string): Promise<string> {
  try {
    const { gid, mode } = await stat(socket);
    const group = await groupName(gid);
    if (gid !== 0 && (mode & 0o020) !== 0) {
      return `add yourself to the group "${group}" (sudo usermod -aG ${group} $USER) and log in again`;
    }
  } catch {
    // the directory is closed to us as well: only the general advice is left
  }
  return 'run as the user who may use this socket (root), or set DOCKER_HOST to an engine of yours';
}

async function groupName(gid: number): Promise<string> {
  const groups = await readFile('/etc/group', 'utf8').catch(() => '');
  const line = groups.split('\n').find((entry) => entry.split(':')[2] === String(gid));
  return line?.split(':')[0] ?? String(gid);
}
