import { execa } from 'execa';
import { rm } from 'node:fs/promises';
import { DebloatError, messageOf } from '../../errors.js';
import type { Image } from '../../image/types.js';
import { Workspace } from '../../workspace/workspace.js';
import { sensorFor } from '../sensor.js';
import type { LoadedImage, Runtime } from '../types.js';
import { OciCli } from './cli.js';
import { tryRuntime } from './try-runtime.js';
import { unpackRootfs } from './rootfs.js';
import { runOci } from './run.js';

/**
 * Run containers by an OCI runtime alone, with no engine. Rejects with a DebloatError that says why
 * if it cannot on this machine: that is found out by running something trivial.
 */
export async function ociRuntime(name: 'runc' | 'crun'): Promise<Runtime> {
  const version = await versionOf(name);
  if (process.getuid?.() !== 0) {
    throw new DebloatError(`${name} needs root here`, {
      hint: 'run debloat as root, or use a container engine',
    });
  }
  await using workspace = await Workspace.create();
  try {
    await tryRuntime(name, workspace);
  } catch (error) {
    throw new DebloatError(`${name} ${version} cannot run a container here: ${messageOf(error)}`, {
      hint:
        error instanceof DebloatError && error.hint !== undefined
          ? error.hint
          : `try ${name === 'runc' ? 'crun' : 'runc'} or a container engine`,
      cause: error,
    });
  }
  return { name, description: `${name} ${version}`, load: (...args) => load(name, ...args) };
}

async function load(
  name: string,
  image: Image,
  workspace: Workspace,
  signal?: AbortSignal,
): Promise<LoadedImage> {
  const sensor = sensorFor(image.platform.architecture);
  const cli = new OciCli(name, await workspace.directory(name));
  const lower = await unpackRootfs(image, workspace, signal);
  return {
    run: (options) => runOci({ cli, image, lower, sensor, workspace, options }),
    unload: () => rm(lower, { recursive: true, force: true }),
  };
}

async function versionOf(name: string): Promise<string> {
  const result = await execa(name, ['--version'], { reject: false, stdin: 'ignore' });
  if (result.code === 'ENOENT') {
    throw new DebloatError(`${name} is not installed`, { hint: `install it: apt install ${name}` });
  }
  return /version (\S+)/.exec(result.stdout)?.[1] ?? '';
}
