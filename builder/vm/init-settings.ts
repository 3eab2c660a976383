import { DebloatError } from '../../analyzer/errors.js';
import type { Image } from '../../analyzer/image/types.js';
import { signalNumber } from '../../analyzer/runtime/oci/signal-number.js';
import { processEnvironment } from '../../analyzer/runtime/oci/spec.js';
import { resolveUser, type ProcessUser } from '../../analyzer/runtime/oci/user.js';
import type { RunOptions } from '../../analyzer/runtime/types.js';
import { workloadArgv, workloadEnv } from '../../analyzer/runtime/workload.js';
import { portableReference } from '../provenance.js';

/** What the microVM's init is told: how to run the image's program. */
export interface InitSettings {
  argv: string[];
  env: string[];
  cwd: string;
  user: ProcessUser;
  hostname: string;
  /** Number of the signal that asks the program to end. */
  stopSignal: number;
  /** Directories of volumes that the image does not have. */
  volumes: string[];
}

// As in native/guest/init/settings.h.
const limits = { groups: 1024, volumes: 64 };

/**
 * How the image's program is run, by the image and by what `run` puts in its place.
 * Throws a DebloatError if there is no program, or no such user.
 */
export async function initSettings(image: Image, run: RunOptions): Promise<InitSettings> {
  const config = image.config.value.config ?? {};
  const [passwd, group] = await Promise.all([
    textOf(image, '/etc/passwd'),
    textOf(image, '/etc/group'),
  ]);
  const user = resolveUser(run.user ?? config.User ?? '', passwd, group);
  const hostname = hostnameFor(image.reference);
  return {
    argv: workloadArgv(config, run),
    env: processEnvironment({ env: workloadEnv(config, run), hostname, user }),
    cwd: config.WorkingDir === undefined || config.WorkingDir === '' ? '/' : config.WorkingDir,
    user,
    hostname,
    stopSignal: signalNumber(config.StopSignal ?? 'SIGTERM'),
    volumes: Object.keys(config.Volumes ?? {}).filter(
      (target) => image.tree.resolve(target).node === undefined,
    ),
  };
}

/** The settings as native/guest/init/settings.c reads them: "name=value" fields, a zero byte after each. */
export function encodeInitSettings(settings: InitSettings): Buffer {
  const { argv, env, cwd, user, hostname, stopSignal, volumes } = settings;
  if (user.additionalGids.length > limits.groups || volumes.length > limits.volumes) {
    throw new DebloatError(
      `a microVM's user can be in ${limits.groups} groups, and its image have ${limits.volumes} volumes; here it is more`,
    );
  }
  const fields = [
    ...argv.map((text) => `arg=${text}`),
    ...env.map((text) => `env=${text}`),
    `cwd=${cwd}`,
    `uid=${user.uid}`,
    `gid=${user.gid}`,
    ...user.additionalGids.map((gid) => `group=${gid}`),
    `hostname=${hostname}`,
    `stop=${stopSignal}`,
    ...volumes.map((path) => `volume=${path}`),
  ];
  const damaged = fields.find((field) => field.includes('\0'));
  if (damaged !== undefined) {
    throw new DebloatError(`the image's config has a zero byte in ${JSON.stringify(damaged)}`);
  }
  return Buffer.from(fields.map((field) => `${field}\0`).join(''));
}

/** A machine's name made of the image's: "nginx" for registry://localhost:5000/web/nginx:1. */
export function hostnameFor(reference: string): string {
  const name = portableReference(reference)
    .replace(/^(docker|podman|registry|containers-storage|oci|oci-archive|docker-archive|dir):/, '')
    .replace(/@sha256:[0-9a-f]+$/, '')
    .replace(/:[^/:]*$/, '')
    .replace(/^.*\//, '');
  const clean = name.toLowerCase().replace(/[^a-z0-9-]+/g, '-');
  return clean.slice(0, 63).replace(/^-+|-+$/g, '') || 'debloat';
}

async function textOf(image: Image, path: string): Promise<string> {
  const { node } = image.tree.resolve(path);
  return node?.kind === 'file' ? (await image.read(node)).toString('utf8') : '';
}
