import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DebloatError } from '../../errors.js';
import type { Workspace } from '../../workspace/workspace.js';
import { listeningArgv, sensorFile, sensorFor } from '../sensor.js';
import { OciCli, lastError } from './cli.js';
import { OutputPipe } from './output-pipe.js';
import { ociSpec } from './spec.js';
import { exitOf } from './started-process.js';
import { copyFile, chmod } from 'node:fs/promises';

/**
 * Run a container of nothing but the sensor, with the namespaces, mounts and capabilities that
 * workloads get. Rejects with a DebloatError in the runtime's own words.
 */
export async function tryRuntime(binary: string, workspace: Workspace): Promise<void> {
  const dir = await workspace.directory('try');
  const inDir = (name: string) => join(dir, name);
  const [rootfs, sensorDirectory] = [inDir('rootfs'), inDir('sensor')];
  for (const path of [rootfs, sensorDirectory]) await mkdir(path);
  await copyFile(sensorFor(process.arch), inDir('sensor/sensor'));
  await chmod(inDir('sensor/sensor'), 0o755);
  await writeFile(inDir('etc'), '');
  const user = { uid: 0, gid: 0, additionalGids: [], home: '/' };
  const etcFiles = { hosts: inDir('etc'), hostname: inDir('etc'), resolvConf: inDir('etc') };
  const spec = ociSpec({
    argv: listeningArgv,
    env: [],
    cwd: '/',
    user,
    hostname: 'debloat',
    openFiles: 1024,
    rootfs,
    sensorDirectory,
    etcFiles,
    network: 'private',
    mounts: [],
    volumes: [],
  });
  spec.process.args = [sensorFile, ...listeningArgv.slice(1)]; // untraced: is it the runtime that works?
  await writeFile(inDir('config.json'), JSON.stringify(spec));

  const cli = new OciCli(binary, inDir('state'));
  const id = 'debloat-try';
  workspace.register({ kind: 'oci-container', binary, root: cli.root, id });
  const output = await OutputPipe.create(inDir('output'));
  const child = cli.start(
    ['run', '--bundle', dir, id],
    inDir('log'),
    output.descriptor,
    output.descriptor,
  );
  output.handOver();
  const { code } = await exitOf(child);
  await output.ended;
  if (code === 0) return;
  const said = (await lastError(inDir('log'))) ?? output.toString().trim().split('\n').at(-1);
  throw new DebloatError(said || `exit code ${code}`);
}
