import { readFileSync, readlinkSync } from 'node:fs';
import type Docker from 'dockerode';
import { DebloatError } from '../../analyzer/errors.js';
import { engineFailure, statusOf } from '../../analyzer/runtime/engine/failure.js';
import { firstAnswering, type EngineConnection } from '../../analyzer/runtime/engine-connection.js';
import { dockerEndpoints, podmanEndpoints } from '../../analyzer/runtime/engine-endpoint.js';
import { failedWith } from '../../native/linux/system-error.js';
import { NoProcess } from '../refusal.js';
import type { ContainerTarget, EngineName } from '../targets.js';

/** A container that runs on this machine. */
export interface RunningContainer {
  /** As the user named it. */
  readonly name: string;
  /** One of its processes. */
  readonly pid: number;
  /** NAME=VALUE of its application. */
  readonly environment: readonly string[];
  /** Where its application was started. */
  readonly directory: string;
  /** What it was made from, where an engine tells. */
  readonly image: ContainerImage | undefined;
}

export interface ContainerImage {
  readonly labels: Readonly<Record<string, string>>;
  /** In registries: "localhost:5000/web@sha256:…". */
  readonly digests: readonly string[];
}

/** Find the container, without touching it; throws a DebloatError if it does not run here. */
export async function findContainer(target: ContainerTarget): Promise<RunningContainer> {
  return target.kind === 'process'
    ? fromProcess(target.pid)
    : fromEngine(await engineOf(target.engine), target.name);
}

/** The engine of this name; rejects with a NoEngineError. */
export async function engineOf(name: EngineName): Promise<EngineConnection> {
  const { env } = process;
  return firstAnswering(
    name === 'docker' ? await dockerEndpoints(env) : await podmanEndpoints(env),
    env,
  );
}

async function fromEngine(engine: EngineConnection, name: string): Promise<RunningContainer> {
  const info = await inspected(engine, name);
  const pid = info.State.Pid;
  if (!info.State.Running || pid === 0) {
    throw new DebloatError(`The container ${name} does not run.`, {
      hint: `start it: ${engine.kind} start ${name}`,
    });
  }
  if (!engine.address.startsWith('unix://') || !isOf(pid, info.Id)) {
    throw new DebloatError(`The container ${name} runs on another machine than this.`, {
      hint: `run debloat where the engine at ${engine.address} runs its containers`,
    });
  }
  const image = await engine.docker
    .getImage(info.Image)
    .inspect()
    .catch((error: unknown) => {
      // An image can be deleted by force under its container.
      if (statusOf(error) === 404) return undefined;
      throw engineFailure(`look up the image of ${name}`, error);
    });
  return {
    ...{ name, pid },
    environment: info.Config.Env,
    directory: info.Config.WorkingDir || '/',
    image: image && imageOf(image),
  };
}

/** What engines may leave out, though the library's types promise it. */
interface ImageFacts {
  Config: { Labels?: Record<string, string> | null } | null;
  RepoDigests: string[] | null;
}

function imageOf({ Config, RepoDigests }: ImageFacts): ContainerImage {
  // podman files images that are in no registry under this name, and gives them a digest, too.
  const digests = (RepoDigests ?? []).filter((name) => !name.startsWith('localhost/'));
  // Not the container's labels: those are the user's to set.
  return { labels: Config?.Labels ?? {}, digests };
}

async function inspected(
  engine: EngineConnection,
  name: string,
): Promise<Docker.ContainerInspectInfo> {
  try {
    return await engine.docker.getContainer(name).inspect();
  } catch (error) {
    if (statusOf(error) !== 404) throw engineFailure(`look up ${name}`, error);
    throw new DebloatError(`There is no container ${name}.`, {
      hint: `\`${engine.kind} ps\` and \`debloat targets\` list those that run`,
      cause: error,
    });
  }
}

/** Whether `pid` is, on this machine, a process of the container `id`: engines mount files of it there. */
function isOf(pid: number, id: string): boolean {
  try {
    if (isOurs(pid)) return false;
    return ['mountinfo', 'cgroup'].some((file) =>
      readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(id),
    );
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ESRCH')) return false;
    throw error;
  }
}

function isOurs(pid: number): boolean {
  return readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync('/proc/self/ns/mnt');
}

function fromProcess(pid: number): RunningContainer {
  const name = `process ${pid}`;
  try {
    if (isOurs(pid)) {
      throw new DebloatError(`The ${name} is in no container: it has the mounts that we have.`, {
        hint: 'name a process of the container, as `runc state` or `crictl inspect` tell it',
      });
    }
    const words = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    return {
      ...{ name, pid, directory: '/', image: undefined },
      // Programs that show titles write over it.
      environment: words.filter((word) => /^[A-Za-z_][A-Za-z0-9_]*=/.test(word)),
    };
  } catch (error) {
    if (!failedWith(error, 'ENOENT', 'ESRCH')) throw error;
    throw new NoProcess(pid);
  }
}
